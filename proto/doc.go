// Package proto is the module of Whisperer's protobuf schemas; the generated Go is in whisperer/v1.
package proto
