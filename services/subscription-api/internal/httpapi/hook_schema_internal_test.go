package httpapi

import (
	"testing"

	"github.com/danielgtaylor/huma/v2"
	"github.com/stretchr/testify/require"

	"github.com/whisperer-oms/whisperer/pkg/webhook"
)

func TestFlagsOfConfigsAreBooleansInTheDocument(t *testing.T) {
	t.Parallel()
	schema := hookSchemas{}.input("HookConfig", &webhook.Field{Name: "compressed", Kind: webhook.KindFlag, Help: "Whether bodies are compressed"})
	require.Equal(t, huma.TypeBoolean, schema.Type)
}
