module github.com/treeverse/secret-detector

go 1.26.4
