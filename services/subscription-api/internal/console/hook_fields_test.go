package console_test

import (
	"encoding/json"
	"fmt"
	"net/http"
	"net/url"
	"regexp"
	"strings"
	"testing"

	"github.com/chromedp/chromedp"
	"github.com/stretchr/testify/require"

	"github.com/whisperer-oms/whisperer/pkg/webhook"
)

// TestEveryFieldOfAHookIsInTheForm makes sure that new fields in webhook.Fields appear in the form.
func TestEveryFieldOfAHookIsInTheForm(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	page := w.signIn(t, w.operator).get(t, "/console/hooks/new").text
	called := map[string]string{"additional_headers": "headers", "callback": "callback_url", "retry_countdown_config": "choice"}
	for _, f := range webhook.Fields() {
		if !f.Plain() {
			continue
		}
		name := f.Name
		if called[name] != "" {
			name = called[name]
		}
		require.Contains(t, page, ` name="`+name+`"`, f.Name)
	}
}

func TestTheFormSetsAndShowsLabels(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	p := w.signIn(t, w.operator)
	form := func(labels string) []string {
		return []string{"target_url", "http://example.com/" + url.PathEscape(labels), "event_type", "package.created", "secret_mode", "none", "choice", "default", "labels", labels}
	}
	require.Regexp(t, `<details class="more"><summary>Labels`, p.get(t, "/console/hooks/new").text, "what is empty is folded")
	for labels, says := range map[string]string{
		"partner":        `&#34;partner&#34; has no value: write name=value, separated by commas.`,
		"partner=":       "partner: must be 1 to 63 bytes of printable text.",
		"Partner=acme":   "Partner: must have a name of 1 to 63",
		"a=1, b=2,\na=3": "A: is there twice.",
		`{"a": 1}`:       "This is no JSON object of strings: write name=value, separated by commas.",
		`{"a":`:          "This is no JSON object of strings",
	} {
		a := p.post(t, "/console/hooks/", form(labels)...)
		require.Equal(t, http.StatusUnprocessableEntity, a.status, labels)
		slot := regexp.MustCompile(`(?s)id="wrong-labels"[^>]*>(.*?)</div>`).FindStringSubmatch(a.text)
		require.Len(t, slot, 2)
		require.Contains(t, strings.ToLower(slot[1]), strings.ToLower(says), labels)
		require.Regexp(t, `<details class="more" open><summary>Labels`, a.text, labels)
		require.Equal(t, labels, strings.ReplaceAll(fields(a.text).Get("labels"), "\r\n", "\n"), "what is typed stays")
		require.Contains(t, p.post(t, "/console/hooks/check", form(labels)...).text, slot[1], "as it is typed, too")
	}
	for typed, want := range map[string]map[string]string{
		"": nil,
		"partner=acme, region=eu\nteam = north=1": {"partner": "acme", "region": "eu", "team": "north=1"},
		`note=a\, b\\c,`:      {"note": `a, b\c`},
		`{"partner": "acme"}`: {"partner": "acme"},
	} {
		a := p.post(t, "/console/hooks/", form(typed)...)
		require.Equal(t, http.StatusSeeOther, a.status, a.text)
		id := created(t, a)
		h, err := w.db.Hooks.Get(t.Context(), "default", id)
		require.NoError(t, err)
		require.Len(t, h.Labels, len(want))
		for name, value := range want {
			require.Equal(t, value, h.Labels[name], typed)
		}
		edit := fields(p.get(t, "/console/hooks/"+id.String()+"/edit").text)
		require.Equal(t, http.StatusSeeOther, p.send(t, http.MethodPost, "/console/hooks/"+id.String()+"/", edit).status)
		again, err := w.db.Hooks.Get(t.Context(), "default", id)
		require.NoError(t, err)
		require.Equal(t, h.Version, again.Version, "nothing was changed: %s", edit.Get("labels"))
		page := p.get(t, "/console/hooks/"+id.String()+"/").text
		require.Equal(t, len(want) > 0, strings.Contains(page, "<dt>Labels</dt>"))
		for name, value := range want {
			link := regexp.MustCompile(`href="([^"]*)">` + regexp.QuoteMeta(name+"="+value) + `</a>`).FindStringSubmatch(page)
			require.NotNil(t, link, page)
			require.Contains(t, p.get(t, unescape(link[1])).text, id.String(), "the list is narrowed to the label")
		}
		edit.Set("labels", "")
		require.Equal(t, http.StatusSeeOther, p.send(t, http.MethodPost, "/console/hooks/"+id.String()+"/", edit).status)
		again, err = w.db.Hooks.Get(t.Context(), "default", id)
		require.NoError(t, err)
		require.Empty(t, again.Labels, "what is emptied is gone")
	}
}

// TestTheFormKeepsItsWidthWhenAFoldOpens measures the form and its columns at the width of a laptop.
func TestTheFormKeepsItsWidthWhenAFoldOpens(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	b := newTab(t)
	b.looks(t, 1280, 800, "light")
	b.signIn(t, w, w.operator)
	b.do(t, chromedp.Navigate(w.url+"/console/hooks/new"), chromedp.WaitVisible(chromedp.CSS("details.more summary")))
	widths := chromedp.Evaluate[string](`JSON.stringify([document.documentElement.scrollWidth, ...[...document.querySelectorAll("form.beside, form.beside > *, form.beside fieldset:first-of-type")]
		.filter((e) => !e.closest("details")).map((e) => e.getBoundingClientRect().width)])`)
	folded := get(t, b, widths)
	var sizes []float64
	require.NoError(t, json.Unmarshal([]byte(folded), &sizes))
	require.Greater(t, len(sizes), 3)
	n := get(t, b, chromedp.Evaluate[int](`document.querySelectorAll("details.more").length`))
	require.Equal(t, 3, n)
	for i := range n {
		b.do(t, chromedp.Evaluate[chromedp.Void](fmt.Sprintf(`document.querySelectorAll("details.more > summary")[%d].id = "opened"`, i)),
			press(chromedp.ID("opened")), chromedp.WaitVisible(chromedp.CSS("details.more[open]:has(#opened) .field, details.more[open]:has(#opened) .inner")),
			chromedp.Evaluate[chromedp.Void](`document.getElementById("opened").removeAttribute("id")`))
		require.Equal(t, folded, get(t, b, widths), "fold %d", i)
	}
	b.do(t, chromedp.Evaluate[chromedp.Void](`for (const box of document.querySelectorAll('input[value="own"], input[name="auth_mode"][value="oauth2"]')) box.click()`))
	require.Equal(t, folded, get(t, b, widths), "all of it")
}

func TestTheFormHasAPlaceForWhateverIsWrong(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	p := w.signIn(t, w.operator)
	h := w.hook(t, "north", "http://example.com/", "package.created")
	checked := regexp.MustCompile(`id="(wrong-[a-z_]+)" hx-swap-oob`).FindAllStringSubmatch(p.post(t, "/console/hooks/check").text, -1)
	require.Greater(t, len(checked), 20)
	for _, form := range []string{"new", h.ID.String() + "/edit"} {
		page := p.get(t, "/console/hooks/"+form).text
		for _, slot := range checked {
			require.Contains(t, page, `id="`+slot[1]+`"`, form)
		}
	}
}
