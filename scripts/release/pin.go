package main

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"regexp"

	"github.com/google/go-containerregistry/pkg/crane"
)

// pinned is an image that a file names as the default of a variable NAME_IMAGE, in a Dockerfile, a Compose file or a
// shell script: what is before it, its name with its tag, and its digest if it has one.
var pinned = regexp.MustCompile(`(_IMAGE(?:=|:-))([a-z0-9][a-z0-9._:/-]*:[A-Za-z0-9_][A-Za-z0-9_.-]*)(@sha256:[0-9a-f]{64})?`)

// pin writes into each file the digest that the tags of its images have in their registries now, so that whoever uses
// the file later gets the same bytes. A file is written only when all of its images were found.
func pin(ctx context.Context, files []string) error {
	for _, name := range files {
		text, err := os.ReadFile(name)
		if err != nil {
			return err
		}
		var failed error
		digests := 0
		changed := pinned.ReplaceAllFunc(text, func(match []byte) []byte {
			parts := pinned.FindSubmatch(match)
			digest, err := crane.Digest(string(parts[2]), crane.WithContext(ctx))
			if err != nil && failed == nil {
				failed = fmt.Errorf("%s: look up %s: %w", name, parts[2], err)
			}
			digests++
			return fmt.Appendf(nil, "%s%s@%s", parts[1], parts[2], digest)
		})
		switch {
		case failed != nil:
			return failed
		case digests == 0:
			return fmt.Errorf("%s names no image as the default of a variable NAME_IMAGE", name)
		case bytes.Equal(changed, text):
			continue
		}
		if err := os.WriteFile(name, changed, 0o600); err != nil { // keeps the mode of a file that is there
			return err
		}
	}
	return nil
}
