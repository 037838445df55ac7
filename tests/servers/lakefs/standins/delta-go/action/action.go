// Package action has the types that lakeFS names.
package action

type Action interface{ Json() (string, error) }

type Metadata struct {
	ID, Name, Description, SchemaString string
	PartitionColumns                    []string
	Configuration                       map[string]string
	CreatedTime                         *int64
}
