package httpapi

import (
	"bytes"
	"compress/gzip"
	"embed"
	"fmt"
	"io"
	"net/http"
	"strings"

	"github.com/labstack/echo/v4"
)

// docsPath is the path of the page that shows the document and can send requests.
const docsPath = root + "/docs"

//go:embed docs/page.html docs/page.css docs/page.js docs/scalar.js.gz
var docsFiles embed.FS

// documentPolicy forbids a document to load anything.
const documentPolicy = "default-src 'none'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"

// docsPolicy allows the page to load from, and send requests to, this host only. Scalar adds styles to the page; see
// docs/decisions/0047.
const docsPolicy = "default-src 'none'; script-src 'self'; style-src 'self' 'unsafe-inline'; img-src 'self' data:; font-src 'self' data:; connect-src 'self'; " +
	"base-uri 'none'; form-action 'none'; frame-ancestors 'none'"

// docsFile is a file that is served without a token.
type docsFile struct {
	path, contentType, policy string
	content                   []byte
	// zipped is the content as gzip; nil for content that is sent uncompressed.
	zipped []byte
}

// serveDocs serves the documents and the page that shows one of them.
func (s *server) serveDocs() error {
	spec, err := s.spec()
	if err != nil {
		return err
	}
	async, err := s.asyncAPI()
	if err != nil {
		return err
	}
	files := []docsFile{
		{path: specPath, contentType: "application/json", policy: documentPolicy, content: spec},
		{path: asyncPath, contentType: "application/json", policy: documentPolicy, content: async},
	}
	for path, name := range map[string]string{
		"": "page.html", "/": "page.html", "/page.css": "page.css", "/page.js": "page.js", "/scalar.js": "scalar.js.gz",
	} {
		f := docsFile{path: docsPath + path, policy: docsPolicy, contentType: docsTypes[name]}
		if f.content, err = docsFiles.ReadFile("docs/" + name); err != nil {
			return err
		}
		if strings.HasSuffix(name, ".gz") {
			f.zipped = f.content
			if f.content, err = unzip(f.zipped); err != nil {
				return fmt.Errorf("read %s: %w", name, err)
			}
		}
		files = append(files, f)
	}
	for i := range files {
		s.echo.GET(files[i].path, files[i].serve)
	}
	return nil
}

var docsTypes = map[string]string{
	"page.html": "text/html; charset=utf-8", "page.css": "text/css; charset=utf-8", "page.js": "text/javascript; charset=utf-8",
	"scalar.js.gz": "text/javascript; charset=utf-8",
}

func (f *docsFile) serve(c echo.Context) error {
	h := c.Response().Header()
	h.Set("Content-Security-Policy", f.policy)
	h.Set("Cache-Control", "no-cache")
	if f.zipped == nil {
		return c.Blob(http.StatusOK, f.contentType, f.content)
	}
	h.Set("Cache-Control", "max-age=86400")
	h.Set("Vary", "Accept-Encoding")
	if !strings.Contains(c.Request().Header.Get("Accept-Encoding"), "gzip") {
		return c.Blob(http.StatusOK, f.contentType, f.content)
	}
	h.Set("Content-Encoding", "gzip")
	return c.Blob(http.StatusOK, f.contentType, f.zipped)
}

func unzip(zipped []byte) ([]byte, error) {
	r, err := gzip.NewReader(bytes.NewReader(zipped))
	if err != nil {
		return nil, err
	}
	return io.ReadAll(r)
}
