module github.com/whisperer-oms/whisperer/proto

go 1.26.0

require google.golang.org/protobuf v1.36.12
