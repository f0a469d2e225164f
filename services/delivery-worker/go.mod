module github.com/whisperer-oms/whisperer/services/delivery-worker

go 1.26.0

require github.com/whisperer-oms/whisperer/migrations v0.0.0

require github.com/whisperer-oms/whisperer/proto v0.0.0

require (
	github.com/google/uuid v1.6.0
	github.com/prometheus/client_golang v1.25.0
	github.com/stretchr/testify v1.12.1
	github.com/whisperer-oms/whisperer/pkg v0.0.0
	go.uber.org/zap v1.28.0
	golang.org/x/sync v0.24.0
	google.golang.org/protobuf v1.36.12
)

require (
	github.com/sony/gobreaker/v2 v2.4.0 // indirect
	golang.org/x/time v0.16.0 // indirect
)

replace github.com/whisperer-oms/whisperer/migrations => ../../migrations

replace github.com/whisperer-oms/whisperer/proto => ../../proto

replace github.com/whisperer-oms/whisperer/pkg => ../../pkg
