"""What people, schedulers and other tools may do to a project, as a state machine with a model beside it."""
