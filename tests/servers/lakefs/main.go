// The lakeFS server as its makers wrote it; only the two modules under standins/ are replaced.
package main

import "github.com/treeverse/lakefs/cmd/lakefs/cmd"

func main() { cmd.Execute() }
