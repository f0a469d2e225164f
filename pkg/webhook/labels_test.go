package webhook_test

import (
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/whisperer-oms/whisperer/pkg/webhook"
)

func TestLabelSelectorsAreReadAsTheyAreWritten(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]webhook.LabelSelector{
		"":                         {},
		"partner=acme":             {"partner": "acme"},
		"partner":                  {"partner": ""},
		"partner=acme,region=eu":   {"partner": "acme", "region": "eu"},
		`a=x\,y,b=\\`:              {"a": "x,y", "b": `\`},
		"a=b=c":                    {"a": "b=c"},
		"partner=Äcme & Co (West)": {"partner": "Äcme & Co (West)"},
	} {
		got, err := webhook.ParseLabelSelector(text)
		require.NoError(t, err, text)
		require.Equal(t, want, got, text)
		again, err := webhook.ParseLabelSelector(got.String())
		require.NoError(t, err, text)
		require.Equal(t, want, again, text)
	}
	for name, text := range map[string]string{
		"an empty part": "a=b,,c=d", "no name": "=acme", "no value": "partner=", "a name that is none": "Partner=acme", "twice": "a=b,a=c",
		"a comma that is escaped at the end": `a=b\`, "a line feed": "a=b\nc", "too long": "a=" + strings.Repeat("x", 64),
		"too many": "a,b,c,d,e,f,g,h,i,j,k,l,m,n,o,p,q,r,s,t,u",
	} {
		_, err := webhook.ParseLabelSelector(text)
		require.Error(t, err, name)
	}
}
