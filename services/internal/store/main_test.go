package store_test

import (
	"os"
	"testing"

	"github.com/whisperer-oms/whisperer/services/internal/testenv"
)

func TestMain(m *testing.M) { os.Exit(testenv.Main(m)) }
