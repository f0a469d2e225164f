package console

import (
	"bytes"
	"embed"
	"fmt"
	"html/template"
	"io/fs"
	"net/http"
	"net/url"
	"path"
	"slices"
	"strings"
	"time"

	"github.com/whisperer-oms/whisperer/services/subscription-api/internal/usecase"
)

//go:embed templates/*.html templates/parts/*.html
var templateFiles embed.FS

// pages are the templates by name, each with the layout and the parts.
type pages map[string]*template.Template

// loadPages parses all templates, so that errors in them are found at startup.
func loadPages(files assets) (pages, error) {
	base, err := template.New("").Option("missingkey=error").Funcs(functions(files)).ParseFS(templateFiles, "templates/parts/*.html")
	if err != nil {
		return nil, err
	}
	names, err := fs.Glob(templateFiles, "templates/*.html")
	if err != nil {
		return nil, err
	}
	list := pages{}
	for _, name := range names {
		t, err := base.Clone()
		if err != nil {
			return nil, err
		}
		if t, err = t.ParseFS(templateFiles, name); err != nil {
			return nil, err
		}
		list[strings.TrimSuffix(path.Base(name), ".html")] = t
	}
	list[""] = base
	return list, nil
}

// view is what a template sees: the page's own body, and the reader.
type view struct {
	Title   string
	Section string
	Body    any
	// Here is the page's address, for forms that return to it.
	Here  string
	Theme string
	// Done is the message about what the person has just done; if Refused is set, it says why that failed.
	Done     string
	Refused  bool
	SignedIn bool
	Token    usecase.Token
	// Expiring says that the reader's token expires soon.
	Expiring bool
	Tenant   string
	Operator bool
	CanEdit  bool
	CanAdmin bool
	Version  string
	// Pending says that the browser has to fetch the page's counts after it has loaded.
	Pending bool
	// Follow says that the page has live updates at its address.
	Follow bool
}

func (c *console) render(v *visit, answer reply) ([]byte, error) {
	data := view{
		Title: answer.title, Section: section(v.r.URL.Path), Body: answer.body, Here: Root, Theme: themeOf(v.r), Done: doneText(v.form.Get("done"), v.form.Get("n")), Refused: slices.Contains(refusals, v.form.Get("done")),
		SignedIn: v.Token.Role != "", Token: v.Token, Expiring: v.Token.State(time.Now()) == usecase.TokenExpiring, Tenant: v.Tenant, Operator: v.Operator(),
		CanEdit: v.Token.Role.Covers(usecase.Editor), CanAdmin: v.Token.Role.Covers(usecase.Admin), Version: c.Version,
		Pending: v.pending && v.form.Get("wait") == "" && v.r.Method == http.MethodGet,
	}
	if v.r.Method == http.MethodGet {
		data.Here, data.Follow = withoutDone(v.r.URL), answer.lasts()
	}
	t, name := c.pages[answer.template], "layout"
	if answer.fragment {
		t, name = c.pages[""], answer.template
	}
	if t == nil {
		return nil, fmt.Errorf("no template %s", answer.template)
	}
	var out bytes.Buffer
	if err := t.ExecuteTemplate(&out, name, data); err != nil {
		return nil, err
	}
	return out.Bytes(), nil
}

// section returns the part of the console that a path belongs to, for the navigation.
func section(p string) string {
	first, _, _ := strings.Cut(strings.TrimPrefix(p, Root), "/")
	switch first {
	case "event":
		return "events"
	case "jobs":
		return "hooks"
	case "set-aside":
		return "system"
	}
	return first
}

func withoutDone(u *url.URL) string {
	q := u.Query()
	q.Del("done")
	q.Del("n")
	q.Del("wait")
	if len(q) == 0 {
		return u.Path
	}
	return u.Path + "?" + q.Encode()
}
