package webhook_test

import (
	"encoding/json"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/whisperer-oms/whisperer/pkg/webhook"
)

func parseConfig(t *testing.T, text string) webhook.Config {
	t.Helper()
	c, err := webhook.ParseConfig(json.RawMessage(text))
	require.NoError(t, err)
	return c
}

func TestConfigsThatSayNothingMeanTheDefaults(t *testing.T) {
	t.Parallel()
	nulls := `{"format":null,"method":null,"timeout":null,"concurrency":null,"stop_on":null,"api_key_header":null,"auth":null}`
	for _, text := range []string{``, ` `, `null`, `{}`, nulls} {
		t.Run(text, func(t *testing.T) {
			t.Parallel()
			c := parseConfig(t, text)
			require.Equal(t, webhook.FormatOMS, c.Format)
			require.Equal(t, "POST", c.Method)
			require.Equal(t, 15*time.Second, c.Timeout)
			require.Equal(t, 32, c.Concurrency)
			require.Equal(t, "X-API-Key", c.APIKeyHeader)
			require.Empty(t, c.StopOn)
			require.Nil(t, c.Auth)
			require.True(t, json.Valid(c.Raw))
		})
	}
}

func TestConfigsMeanWhatTheySay(t *testing.T) {
	t.Parallel()
	c := parseConfig(t, `{"format":"raw","method":"PUT","timeout":30,"concurrency":1000,"stop_on":[400,422],"api_key_header":"X-Key",
		"auth":{"auth_type":"basic","username":"u","password":"p"},"channel_id":12}`)
	require.Equal(t, webhook.FormatRaw, c.Format)
	require.Equal(t, "PUT", c.Method)
	require.Equal(t, 30*time.Second, c.Timeout)
	require.Equal(t, 1000, c.Concurrency)
	require.Equal(t, []int{400, 422}, c.StopOn)
	require.Equal(t, "X-Key", c.APIKeyHeader)
	require.Equal(t, &webhook.Auth{AuthType: "basic", Username: "u", Password: "p"}, c.Auth)
}

func TestTheIntegratorsOwnKeysAreKeptAsTheyCame(t *testing.T) {
	t.Parallel()
	const text = `{ "channel_id" : 12.50, "b":{"z":1,"a":1e400}, "a":"<&>" }`
	c := parseConfig(t, text)
	require.Equal(t, []string{text}, []string{string(c.Raw)})
}

func TestAuthIsNowhereInWhatIsKept(t *testing.T) {
	t.Parallel()
	const auth = `{"auth_type":"basic","username":"hidden-user","password":"hidden-password"}`
	tests := map[string]string{
		"by itself":              `{"auth":` + auth + `}`,
		"among others":           `{"channel_id":12,"auth":` + auth + `,"format":"raw"}`,
		"written with an escape": `{"\u0061uth":` + auth + `}`,
		"twice":                  `{"auth":` + auth + `,"auth":` + auth + `}`,
		"taken back by a null":   `{"auth":` + auth + `,"auth":null}`,
	}
	for name, text := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			c := parseConfig(t, text)
			require.NotContains(t, string(c.Raw), "hidden")
			require.False(t, c.Contains(json.RawMessage(`{"auth":`+auth+`}`)))
			again := parseConfig(t, string(c.Raw))
			require.Nil(t, again.Auth)
		})
	}
}

func TestRefusedConfigsPointAtWhatIsWrong(t *testing.T) {
	t.Parallel()
	tests := map[string]struct {
		config string
		want   []string
	}{
		"a list":                             {`[]`, []string{""}},
		"a string":                           {`"x"`, []string{""}},
		"no JSON":                            {`{`, []string{""}},
		"two objects":                        {`{}{}`, []string{""}},
		"more than 64 KiB":                   {`{"a":"` + strings.Repeat("a", 64<<10) + `"}`, []string{""}},
		"invalid UTF-8":                      {"{\"a\":\"\xff\"}", []string{""}},
		"an unknown format":                  {`{"format":"xml"}`, []string{"/format"}},
		"a format that is a number":          {`{"format":1}`, []string{"/format"}},
		"a method that reads":                {`{"method":"GET"}`, []string{"/method"}},
		"a method that sends no body":        {`{"method":"get"}`, []string{"/method"}},
		"a timeout of 0":                     {`{"timeout":0}`, []string{"/timeout"}},
		"a timeout of 31":                    {`{"timeout":31}`, []string{"/timeout"}},
		"a timeout of -1":                    {`{"timeout":-1}`, []string{"/timeout"}},
		"a timeout of one and a half":        {`{"timeout":1.5}`, []string{"/timeout"}},
		"a timeout in words":                 {`{"timeout":"long"}`, []string{"/timeout"}},
		"a timeout that overflows":           {`{"timeout":9223372036854775807}`, []string{"/timeout"}},
		"concurrency of 0":                   {`{"concurrency":0}`, []string{"/concurrency"}},
		"concurrency of a million":           {`{"concurrency":1000000}`, []string{"/concurrency"}},
		"concurrency of 1e2":                 {`{"concurrency":1e2}`, []string{"/concurrency"}},
		"concurrency that is true":           {`{"concurrency":true}`, []string{"/concurrency"}},
		"stop_on that is a number":           {`{"stop_on":400}`, []string{"/stop_on"}},
		"stop_on with a success":             {`{"stop_on":[400,200]}`, []string{"/stop_on"}},
		"stop_on with null":                  {`{"stop_on":[null]}`, []string{"/stop_on"}},
		"stop_on with 600":                   {`{"stop_on":[600]}`, []string{"/stop_on"}},
		"an api_key_header that is ours":     {`{"api_key_header":"Webhook-Id"}`, []string{"/api_key_header"}},
		"an api_key_header that is HTTP's":   {`{"api_key_header":"content_length"}`, []string{"/api_key_header"}},
		"an api_key_header with a line feed": {`{"api_key_header":"X\n"}`, []string{"/api_key_header"}},
		"an empty api_key_header":            {`{"api_key_header":""}`, []string{"/api_key_header"}},
		"auth that is a string":              {`{"auth":"basic"}`, []string{"/auth"}},
		"auth of an unknown kind":            {`{"auth":{"auth_type":"digest","username":"u"}}`, []string{"/auth/auth_type"}},
		"auth without a user":                {`{"auth":{"auth_type":"basic"}}`, []string{"/auth/username"}},
		"auth with a line feed":              {`{"auth":{"auth_type":"basic","username":"u","password":"a\nb"}}`, []string{"/auth/password"}},
		"auth with a field that is unknown":  {`{"auth":{"auth_type":"basic","user":"u"}}`, []string{"/auth/user"}},
		"batch is no object":                 {`{"batch":10}`, []string{"/batch"}},
		"batch of one":                       {`{"batch":{"max_events":1,"max_wait":1}}`, []string{"/batch/max_events"}},
		"batch without its keys":             {`{"batch":{}}`, []string{"/batch/max_events", "/batch/max_wait"}},
		"batch too large and too slow":       {`{"batch":{"max_events":101,"max_wait":61}}`, []string{"/batch/max_events", "/batch/max_wait"}},
		"batch with half an event":           {`{"batch":{"max_events":2.5,"max_wait":0}}`, []string{"/batch/max_events", "/batch/max_wait"}},
		"batch with another key":             {`{"batch":{"max_events":2,"max_wait":1,"max_bytes":1}}`, []string{"/batch/max_bytes"}},
		"headers of events of a batch":       {`{"batch":{"max_events":2,"max_wait":1},"headers_from":{"X-Route":"event.entity"}}`, []string{"/headers_from"}},
		"a way to collapse that is unknown":  {`{"collapse":"hook"}`, []string{"/collapse"}},
		"collapse as a switch":               {`{"collapse":true}`, []string{"/collapse"}},
		"an ordering that is unknown":        {`{"ordering":"strict"}`, []string{"/ordering"}},
		"a rate of 0":                        {`{"rate_limit":{"limit":0,"period":1}}`, []string{"/rate_limit/limit"}},
		"a rate of a thousand million":       {`{"rate_limit":{"limit":1000000000,"period":1}}`, []string{"/rate_limit/limit"}},
		"a rate without a period":            {`{"rate_limit":{"limit":1}}`, []string{"/rate_limit/period"}},
		"a rate over two days":               {`{"rate_limit":{"limit":1,"period":172800}}`, []string{"/rate_limit/period"}},
		"several faults at once":             {`{"timeout":0,"method":"GET"}`, []string{"/method", "/timeout"}},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			_, err := webhook.ParseConfig(json.RawMessage(test.config))
			require.Equal(t, test.want, pointers(t, err))
			require.NotContains(t, fmt.Sprint(err), "a\nb", "a secret in the error")
		})
	}
}

func TestAConfigContainsAFilter(t *testing.T) {
	t.Parallel()
	const config = `{"channel_id":12,"big":9007199254740993,"name":"x","tags":["a","b"],"nothing":null,"on":true,
		"shops":[{"id":1,"name":"one"},{"id":2,"name":"two"}],"pairs":[[1,2],[3]],"rate":0.1,"zero":0,
		"deep":{"a":{"b":1},"c":2},"format":"raw","auth":{"auth_type":"basic","username":"u","password":"p"}}`
	tests := map[string]struct {
		filter string
		want   bool
	}{
		"no filter":                             {``, true},
		"null":                                  {`null`, true},
		"an empty filter":                       {`{}`, true},
		"the same number":                       {`{"channel_id":12}`, true},
		"the same number written otherwise":     {`{"channel_id":12.0}`, true},
		"the same number with an exponent":      {`{"channel_id":1.2e1}`, true},
		"another number":                        {`{"channel_id":13}`, false},
		"a number in quotes":                    {`{"channel_id":"12"}`, false},
		"a large id":                            {`{"big":9007199254740993}`, true},
		"the large id before it":                {`{"big":9007199254740992}`, false},
		"a number that is out of range":         {`{"channel_id":1e400}`, false},
		"the same text":                         {`{"name":"x"}`, true},
		"several keys":                          {`{"name":"x","channel_id":12}`, true},
		"several keys of which one differs":     {`{"name":"x","channel_id":13}`, false},
		"a key that is missing":                 {`{"warehouse":1}`, false},
		"null where null is":                    {`{"nothing":null}`, true},
		"null where nothing is":                 {`{"warehouse":null}`, false},
		"null where something is":               {`{"name":null}`, false},
		"true where true is":                    {`{"on":true}`, true},
		"part of an object":                     {`{"deep":{"a":{"b":1}}}`, true},
		"an empty object where one is":          {`{"deep":{}}`, true},
		"part of an object that differs":        {`{"deep":{"a":{"b":2}}}`, false},
		"an object where text is":               {`{"name":{"a":1}}`, false},
		"the same list":                         {`{"tags":["a","b"]}`, true},
		"a list in another order":               {`{"tags":["b","a"]}`, true},
		"a part of a list":                      {`{"tags":["a"]}`, true},
		"a part of a list, twice":               {`{"tags":["a","a"]}`, true},
		"no part of a list":                     {`{"tags":["a","c"]}`, false},
		"an empty list where one is":            {`{"tags":[]}`, true},
		"a text where a list of it is":          {`{"tags":"a"}`, false},
		"an empty object where a list is":       {`{"tags":{}}`, false},
		"an empty object where null is":         {`{"nothing":{}}`, false},
		"a part of an object in a list":         {`{"shops":[{"id":2}]}`, true},
		"parts of two objects in one":           {`{"shops":[{"id":2,"name":"one"}]}`, false},
		"a part of a list in a list":            {`{"pairs":[[2]]}`, true},
		"a list within another list only":       {`{"pairs":[2]}`, false},
		"a fraction with more zeros":            {`{"rate":0.10}`, true},
		"a fraction beyond a double":            {`{"rate":0.1000000000000000000001}`, false},
		"zero written otherwise":                {`{"zero":-0.0e7}`, true},
		"a list where a number is":              {`{"channel_id":[12]}`, false},
		"keys that mean something to us":        {`{"format":"raw"}`, true},
		"secrets are not there to be asked for": {`{"auth":{"username":"u"}}`, false},
		"a filter that is a list":               {`[]`, false},
		"a filter that is no JSON":              {`{`, false},
		"a filter that is two objects":          {`{}{}`, false},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			c := parseConfig(t, config)
			require.Equal(t, test.want, c.Contains(json.RawMessage(test.filter)))
		})
	}
	empty := parseConfig(t, ``)
	require.True(t, empty.Contains(json.RawMessage(`{}`)))
	require.False(t, empty.Contains(json.RawMessage(`{"channel_id":12}`)))
}

func FuzzParseConfig(f *testing.F) {
	for _, seed := range []string{
		``, `null`, `{}`, `{"format":"raw","timeout":5}`, `{"auth":{"auth_type":"basic","username":"u"},"x":1e400}`, `{"auth":1,"stop_on":[{}]}`,
		`{"rate_limit":{"limit":1,"period":1},"maintenance":[{"start":"22:00","end":"02:00","days":["mon"],"timezone":"UTC"}]}`,
		`{"maintenance":[{"timezone":"../etc"}],"ordering":"entity"}`, "{\"a\":\"\xff\"}",
	} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, text []byte) {
		c, err := webhook.ParseConfig(text)
		if err != nil {
			require.NotEmpty(t, pointers(t, err))
			return
		}
		require.Contains(t, webhook.Formats(), c.Format)
		require.Positive(t, c.Timeout)
		require.Positive(t, c.Concurrency)
		require.NoError(t, webhook.ValidateHeaders(map[string]string{c.APIKeyHeader: ""}))
		require.True(t, c.Contains(c.Raw), "a config contains itself: %s", c.Raw)
		auth := c.Auth
		c, err = webhook.ParseConfig(c.Raw) // as it is read back from the database
		require.NoError(t, err)
		require.True(t, auth == nil || c.Auth == nil)
	})
}

func TestAHookThatCollapsesKeepsTheOrderOfItsEntities(t *testing.T) {
	t.Parallel()
	for config, want := range map[string]webhook.Ordering{
		`{"collapse":"Entity"}`: webhook.OrderEntity, `{"collapse":"entity","ordering":"none"}`: webhook.OrderEntity,
		`{"collapse":"entity","ordering":"hook"}`: webhook.OrderHook, `{"collapse":"none"}`: webhook.OrderNone,
	} {
		c, err := webhook.ParseConfig(json.RawMessage(config))
		require.NoError(t, err)
		require.Equal(t, want, c.Ordering, config)
		_, drained := c.Drained()
		require.Equal(t, want != webhook.OrderNone, drained)
	}
}
