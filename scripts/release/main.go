// Command release builds what is released, so that the same commit gives the same bytes wherever it is built.
//
//	go run . build [--out FOLDER] [--version VERSION] [--epoch SECONDS] [--platforms LIST] REPOSITORY
//	go run . sbom [--out FOLDER] [--version VERSION] BINARY...
//	go run . pin FILE...
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"strings"
	"time"
)

func main() {
	if err := run(os.Args[1:]); err != nil {
		fmt.Fprintln(os.Stderr, "release:", err)
		os.Exit(1)
	}
}

func run(args []string) error {
	if len(args) == 0 {
		return errors.New("say build, sbom or pin")
	}
	flags := flag.NewFlagSet(args[0], flag.ContinueOnError)
	out := flags.String("out", ".", "folder to write to")
	version := flags.String("version", "dev", "version of the binaries")
	epoch := flags.Int64("epoch", 0, "time of the files in the archives, in seconds since 1970: that of the commit")
	list := flags.String("platforms", "linux/amd64,linux/arm64,darwin/amd64,darwin/arm64", "what to build for")
	if err := flags.Parse(args[1:]); err != nil {
		return err
	}
	switch {
	case args[0] == "sbom" && flags.NArg() > 0:
		for _, binary := range flags.Args() {
			if err := writeBill(binary, *out, *version); err != nil {
				return err
			}
		}
		return nil
	case args[0] == "pin" && flags.NArg() > 0:
		return pin(context.Background(), flags.Args())
	case args[0] == "build" && flags.NArg() == 1:
		r := release{root: flags.Arg(0), out: *out, version: *version, time: time.Unix(*epoch, 0).UTC()}
		return r.build(strings.Split(*list, ","))
	}
	return errors.New("say build REPOSITORY, sbom BINARY... or pin FILE...")
}
