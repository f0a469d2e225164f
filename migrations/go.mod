module github.com/whisperer-oms/whisperer/migrations

go 1.26.0
