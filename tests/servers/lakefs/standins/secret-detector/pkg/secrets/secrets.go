// Package secrets stands in for the module of this name, which not every registry of modules has.
package secrets

type DetectedSecret struct{ Value string }

type Scanner interface {
	Scan(text string) ([]DetectedSecret, error)
}
