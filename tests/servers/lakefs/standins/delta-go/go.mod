module github.com/csimplestring/delta-go

go 1.26.4

require (
	github.com/aws/aws-sdk-go-v2 v1.42.0
	gocloud.dev v0.34.1-0.20231122211418-53ccd8db26a1
)
