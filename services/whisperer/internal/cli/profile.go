package cli

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
)

type profileCommand struct {
	Add    profileAdd    `cmd:"" help:"Save --url, --token and --tenant under a name, for --profile."`
	List   profileList   `cmd:"" help:"List profiles, without their tokens."`
	Remove profileRemove `cmd:"" help:"Remove a profile."`
}

// profile is the address of an installation, with credentials.
type profile struct {
	URL    string `json:"url"`
	Token  string `json:"token,omitempty"`
	Tenant string `json:"tenant,omitempty"`
}

var profileName = regexp.MustCompile(`^[a-z0-9][a-z0-9_-]{0,62}$`)

// profilesFile returns the file with the profiles: whisperer/profiles.json in $XDG_CONFIG_HOME, or else in ~/.config.
func (a *app) profilesFile() (string, error) {
	if dir, ok := a.env("XDG_CONFIG_HOME"); ok {
		return filepath.Join(dir, "whisperer", "profiles.json"), nil
	}
	if home, ok := a.env("HOME"); ok {
		return filepath.Join(home, ".config", "whisperer", "profiles.json"), nil
	}
	return "", errors.New("profiles: set HOME or XDG_CONFIG_HOME, which say where they are kept")
}

func (a *app) profiles() (map[string]profile, error) {
	all := map[string]profile{}
	file, err := a.profilesFile()
	if err != nil {
		return nil, err
	}
	text, err := os.ReadFile(file)
	if errors.Is(err, fs.ErrNotExist) {
		return all, nil
	}
	if err != nil {
		return nil, fmt.Errorf("read profiles: %w", err)
	}
	if err := json.Unmarshal(text, &all); err != nil {
		return nil, fmt.Errorf("read profiles: %s is not JSON as this program writes it: %w", file, err)
	}
	return all, nil
}

// keep writes the profiles to a file that only its owner can read, because it contains tokens.
func (a *app) keep(all map[string]profile) error {
	file, err := a.profilesFile()
	if err != nil {
		return err
	}
	text, err := json.MarshalIndent(all, "", "  ")
	if err != nil {
		return fmt.Errorf("write profiles: %w", err)
	}
	if err := os.MkdirAll(filepath.Dir(file), 0o700); err != nil {
		return fmt.Errorf("write profiles: %w", err)
	}
	other := file + ".new"
	if err := os.WriteFile(other, append(text, '\n'), 0o600); err != nil {
		return fmt.Errorf("write profiles: %w", err)
	}
	if err := os.Rename(other, file); err != nil {
		return fmt.Errorf("write profiles: %w", err)
	}
	return nil
}

// useProfile sets what neither flags nor variables set from the chosen profile.
func (a *app) useProfile() error {
	if a.Profile == "" {
		return nil
	}
	all, err := a.profiles()
	if err != nil {
		return err
	}
	p, there := all[a.Profile]
	if !there {
		return usage("--profile: there is no %s; see `whisperer profile list`", a.Profile)
	}
	if a.URL != "" && a.URL != p.URL {
		p.Token = "" // a token only fits its own installation
	}
	a.URL, a.Token, a.Tenant = firstText(a.URL, p.URL), firstText(a.Token, p.Token), firstText(a.Tenant, p.Tenant)
	return nil
}

type profileAdd struct {
	Name string `arg:"" help:"a-z, 0-9, _ and -, such as prod; an existing profile is replaced."`
}

// Help shows how to use it.
func (c *profileAdd) Help() string {
	return "whisperer profile add prod --url https://whisperer.example.com --token \"$TOKEN\"\n" +
		"whisperer --profile prod hook list\n" +
		"WHISPERER_PROFILE selects one, too. Flags and variables override a profile. Only you can read the file."
}

// Run adds the profile to the file. It replaces one of the same name.
func (c *profileAdd) Run(a *app) error {
	if !profileName.MatchString(c.Name) {
		return usage("<name>: must be 1 to 63 of a-z, 0-9, _ and -, and not begin with _ or -")
	}
	if a.URL == "" {
		return usage("--url: is needed")
	}
	if _, err := a.client(); err != nil {
		return err
	}
	all, err := a.profiles()
	if err != nil {
		return err
	}
	all[c.Name] = profile{URL: a.URL, Token: a.Token, Tenant: a.Tenant}
	if err := a.keep(all); err != nil {
		return err
	}
	a.done("saved profile %s", c.Name)
	return nil
}

type profileList struct{}

// Run prints the profiles without their tokens.
func (c *profileList) Run(a *app) error {
	all, err := a.profiles()
	if err != nil {
		return err
	}
	type shown struct {
		Name     string `json:"name"`
		URL      string `json:"url"`
		Tenant   string `json:"tenant"`
		HasToken bool   `json:"has_token"`
	}
	list := make([]shown, 0, len(all))
	for name, p := range sorted(all) {
		list = append(list, shown{Name: name, URL: p.URL, Tenant: p.Tenant, HasToken: p.Token != ""})
	}
	return a.print(list, func(t *table) {
		t.head("NAME", "URL", "TENANT", "TOKEN")
		for _, p := range list {
			t.row(p.Name, p.URL, firstText(p.Tenant, "-"), yesNo(p.HasToken))
		}
	})
}

type profileRemove struct {
	Name string `arg:"" help:"The profile."`
}

// Run removes the profile from the file.
func (c *profileRemove) Run(a *app) error {
	all, err := a.profiles()
	if err != nil {
		return err
	}
	if _, there := all[c.Name]; !there {
		return usage("<name>: there is no profile %s", c.Name)
	}
	delete(all, c.Name)
	if err := a.keep(all); err != nil {
		return err
	}
	a.done("removed profile %s", c.Name)
	return nil
}
