package main

import (
	"bytes"
	"debug/buildinfo"
	"encoding/base64"
	"encoding/hex"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"runtime/debug"
	"slices"
	"strings"

	cdx "github.com/CycloneDX/cyclonedx-go"
	"github.com/google/uuid"
)

// writeBill writes the software bill of materials of a binary, FILE.cdx.json, in CycloneDX 1.6 (ECMA-424). Everything in
// it comes from the binary, so that the same binary gives the same bytes.
func writeBill(binary, folder, version string) error {
	if folder == "" {
		folder = filepath.Dir(binary)
	}
	info, err := buildinfo.ReadFile(binary)
	if err != nil {
		return fmt.Errorf("read %s: %w", binary, err)
	}
	bom, err := bill(filepath.Base(binary), version, info)
	if err != nil {
		return fmt.Errorf("describe %s: %w", binary, err)
	}
	b := &bytes.Buffer{}
	if err := cdx.NewBOMEncoder(b, cdx.BOMFileFormatJSON).SetPretty(true).EncodeVersion(bom, cdx.SpecVersion1_6); err != nil {
		return fmt.Errorf("encode bill of %s: %w", binary, err)
	}
	path := filepath.Join(folder, filepath.Base(binary)+".cdx.json")
	if err := os.WriteFile(path, b.Bytes(), 0o644); err != nil { //nolint:gosec // for everybody to read
		return fmt.Errorf("write bill: %w", err)
	}
	return nil
}

// bill lists the modules that the linker put into the binary, and the Go that built it.
func bill(name, version string, info *debug.BuildInfo) (*cdx.BOM, error) {
	bom := cdx.NewBOM()
	main := component(info.Main.Path, version)
	main.Type, main.Name = cdx.ComponentTypeApplication, name
	main.Properties = &[]cdx.Property{}
	for _, s := range info.Settings {
		if s.Key == "GOOS" || s.Key == "GOARCH" || s.Key == "CGO_ENABLED" || s.Key == "-trimpath" {
			*main.Properties = append(*main.Properties, cdx.Property{Name: "go:build:" + s.Key, Value: s.Value})
		}
	}
	bom.Metadata = &cdx.Metadata{Component: &main}
	// Named by what it describes instead of by chance.
	bom.SerialNumber = uuid.NewSHA1(uuid.NameSpaceURL, []byte(info.String()+name+version)).URN()
	parts := []cdx.Component{component("std", strings.TrimPrefix(info.GoVersion, "go"))}
	for _, dep := range info.Deps {
		sum := dep.Sum
		if dep.Replace != nil {
			dep, sum = dep.Replace, dep.Replace.Sum
		}
		if strings.HasPrefix(dep.Path, ".") || sum == "" {
			continue // a module of this repository: it has the version of the binary
		}
		c := component(dep.Path, dep.Version)
		hash, err := base64.StdEncoding.DecodeString(strings.TrimPrefix(sum, "h1:"))
		if err != nil {
			return nil, errors.Join(fmt.Errorf("read sum of %s", dep.Path), err)
		}
		c.Hashes = &[]cdx.Hash{{Algorithm: cdx.HashAlgoSHA256, Value: hex.EncodeToString(hash)}}
		parts = append(parts, c)
	}
	slices.SortFunc(parts, func(a, b cdx.Component) int { return strings.Compare(a.BOMRef, b.BOMRef) })
	bom.Components = &parts
	refs := make([]string, len(parts))
	for i := range parts {
		refs[i] = parts[i].BOMRef
	}
	bom.Dependencies = &[]cdx.Dependency{{Ref: main.BOMRef, Dependencies: &refs}}
	return bom, nil
}

// component is a Go module by its package URL (https://github.com/package-url/purl-spec).
func component(path, version string) cdx.Component {
	purl := "pkg:golang/" + path + "@" + strings.ReplaceAll(version, "+", "%2B")
	return cdx.Component{BOMRef: purl, Type: cdx.ComponentTypeLibrary, Name: path, Version: version, PackageURL: purl, Scope: cdx.ScopeRequired}
}
