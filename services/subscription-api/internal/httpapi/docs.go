package httpapi

import (
	"bytes"
	"embed"
	"html/template"
	"net/http"
	"slices"
	"strings"

	"github.com/danielgtaylor/huma/v2"
	"github.com/labstack/echo/v4"
)

// docsPath is where the document can be read by people.
const docsPath = root + "/docs"

//go:embed docs/page.html docs/page.css
var docsFiles embed.FS

// docsPolicy lets the page load its style sheet from here, and nothing else from anywhere.
const docsPolicy = "default-src 'none'; style-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"

// docOperation is one operation as the page shows it.
type docOperation struct {
	Method, Path string
	*huma.Operation
	Body   *docSchema
	Answer *docSchema
}

// docSchema is a struct of a body, field by field.
type docSchema struct {
	Name   string
	Fields []docField
}

type docField struct {
	Name, Type, Description string
	Required, ReadOnly      bool
}

type docTag struct {
	Name       string
	Operations []docOperation
}

type docPage struct {
	Title, Version, Description string
	Tags                        []docTag
}

// serveDocs serves the OpenAPI document and the page that shows it; both are made once and need no token.
func (s *server) serveDocs() error {
	spec, err := s.spec()
	if err != nil {
		return err
	}
	async, err := s.asyncAPI()
	if err != nil {
		return err
	}
	page, err := s.docsPage()
	if err != nil {
		return err
	}
	style, err := docsFiles.ReadFile("docs/page.css")
	if err != nil {
		return err
	}
	serve := func(path, contentType string, content []byte) {
		s.echo.GET(path, func(c echo.Context) error {
			c.Response().Header().Set("Content-Security-Policy", docsPolicy)
			c.Response().Header().Set("Cache-Control", "no-cache")
			return c.Blob(http.StatusOK, contentType, content)
		})
	}
	serve(specPath, "application/json", spec)
	serve(asyncPath, "application/json", async)
	serve(docsPath, "text/html; charset=utf-8", page)
	serve(docsPath+"/", "text/html; charset=utf-8", page)
	serve(docsPath+"/page.css", "text/css; charset=utf-8", style)
	return nil
}

func (s *server) docsPage() ([]byte, error) {
	t, err := template.ParseFS(docsFiles, "docs/page.html")
	if err != nil {
		return nil, err
	}
	info := s.api.OpenAPI().Info
	var out bytes.Buffer
	err = t.Execute(&out, docPage{Title: info.Title, Version: info.Version, Description: info.Description, Tags: s.docTags()})
	return out.Bytes(), err
}

func (s *server) docTags() []docTag {
	byTag := map[string][]docOperation{}
	for path, item := range s.api.OpenAPI().Paths {
		for method, op := range map[string]*huma.Operation{
			http.MethodGet: item.Get, http.MethodPost: item.Post, http.MethodPut: item.Put, http.MethodPatch: item.Patch,
			http.MethodDelete: item.Delete,
		} {
			if op == nil {
				continue
			}
			d := docOperation{Method: method, Path: path, Operation: op}
			if op.RequestBody != nil {
				d.Body = s.docSchema(op.RequestBody.Content["application/json"])
			}
			for status, response := range op.Responses {
				if strings.HasPrefix(status, "2") {
					d.Answer = s.docSchema(response.Content["application/json"])
				}
			}
			byTag[op.Tags[0]] = append(byTag[op.Tags[0]], d)
		}
	}
	order := []string{"Hooks", "Event types", tagEvents, tagDeliveries, tagJobs, "Tokens and tenants", tagLedger}
	tags := make([]docTag, len(order))
	for i, name := range order {
		slices.SortFunc(byTag[name], func(a, b docOperation) int {
			return strings.Compare(a.Path+" "+methodOrder(a.Method), b.Path+" "+methodOrder(b.Method))
		})
		tags[i] = docTag{Name: name, Operations: byTag[name]}
	}
	return tags
}

func methodOrder(method string) string {
	return map[string]string{"GET": "1", "POST": "2", "PUT": "3", "PATCH": "4", "DELETE": "5"}[method]
}

// docSchema follows references and alternatives to the first struct.
func (s *server) docSchema(media *huma.MediaType) *docSchema {
	if media == nil || media.Schema == nil {
		return nil
	}
	schema := media.Schema
	for len(schema.AllOf) > 0 || schema.Ref == "" && len(schema.AnyOf) > 0 {
		schema = append(slices.Clone(schema.AllOf), schema.AnyOf...)[0]
	}
	if schema.Ref == "" {
		return nil
	}
	d := &docSchema{Name: refName(schema.Ref)}
	target := s.api.OpenAPI().Components.Schemas.SchemaFromRef(schema.Ref)
	for name, property := range target.Properties {
		d.Fields = append(d.Fields, docField{
			Name: name, Type: typeName(property), Description: property.Description,
			Required: slices.Contains(target.Required, name), ReadOnly: property.ReadOnly,
		})
	}
	slices.SortFunc(d.Fields, func(a, b docField) int { return strings.Compare(a.Name, b.Name) })
	return d
}

func refName(ref string) string { return ref[strings.LastIndexByte(ref, '/')+1:] }

// typeName says what a schema takes, in words.
func typeName(s *huma.Schema) string {
	var name string
	switch {
	case s.Title != "":
		return s.Title
	case s.Ref != "":
		name = refName(s.Ref)
	case len(s.AnyOf) > 0:
		names := make([]string, len(s.AnyOf))
		for i, alternative := range s.AnyOf {
			names[i] = typeName(alternative)
		}
		return strings.Join(names, " or ")
	case s.Type == huma.TypeArray && s.Items != nil:
		name = "list of " + typeName(s.Items)
	case s.Format != "":
		name = s.Format
	default:
		name = s.Type
	}
	if s.Nullable {
		name += " or null"
	}
	return name
}
