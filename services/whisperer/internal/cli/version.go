package cli

import "fmt"

type versionCommand struct{}

// Run prints the program's version.
func (c *versionCommand) Run(a *app) error {
	if a.asJSON() {
		return a.print(map[string]string{"version": a.Version}, nil)
	}
	fmt.Fprintln(a.Out, a.Version)
	return nil
}
