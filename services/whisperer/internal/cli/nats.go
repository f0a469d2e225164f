package cli

import (
	"cmp"
	"fmt"
	"io"
	"slices"
	"strconv"
	"strings"

	"github.com/whisperer-oms/whisperer/pkg/webhook"
	"github.com/whisperer-oms/whisperer/services/internal/bus"
	"github.com/whisperer-oms/whisperer/services/internal/daemon"
)

type natsCommand struct {
	Permissions natsPermissions `cmd:"" help:"Print NATS accounts for the services, operators and publishers."`
}

type natsPermissions struct {
	Tenants   []string      `arg:"" optional:"" help:"Tenants that publish events, besides that of --tenant."`
	Namespace bus.Namespace `help:"Namespace of the installation's subjects and streams, as configured in the services." env:"WHISPERER_NAMESPACE" placeholder:"NAME"`
}

// Help describes how to use the output.
func (c *natsPermissions) Help() string {
	return "The output is for nats-server's configuration file (include); passwords are variables of the server's\n" +
		"environment. With --json it is a list for JWTs: exports and imports are account claims, permissions user claims."
}

// natsAccount is a NATS account, with the names of JWT claims.
type natsAccount struct {
	Account string       `json:"account"`
	Streams bool         `json:"jetstream,omitempty"`
	Users   []natsUser   `json:"users"`
	Exports []natsExport `json:"exports,omitempty"`
	Imports []natsImport `json:"imports,omitempty"`
}

type natsUser struct {
	Name        string     `json:"name"`
	Permissions natsRights `json:"permissions"`
}

type natsRights struct {
	Publish   natsSubjects `json:"pub"`
	Subscribe natsSubjects `json:"sub"`
}

type natsSubjects struct {
	Allow []string `json:"allow"`
	Deny  []string `json:"deny,omitempty"`
}

type natsExport struct {
	Type    string `json:"type"`
	Subject string `json:"subject"`
	To      string `json:"to"`
}

type natsImport struct {
	Type    string `json:"type"`
	Subject string `json:"subject"`
	From    string `json:"from"`
}

// ours is the name of the account with the streams.
const ours = "WHISPERER"

// Run prints a NATS configuration with the permissions of each program.
func (c *natsPermissions) Run(a *app) error {
	if a.Tenant != "" || len(c.Tenants) == 0 {
		c.Tenants = slices.Insert(c.Tenants, 0, cmp.Or(a.Tenant, webhook.DefaultTenant))
	}
	if err := c.Namespace.Validate(); err != nil {
		return usage("namespace %q: %s", string(c.Namespace), err)
	}
	for _, tenant := range c.Tenants {
		if err := webhook.ValidateTenant(tenant); err != nil {
			return usage("tenant %q: %s", tenant, err)
		}
	}
	accounts := c.accounts()
	if a.asJSON() {
		return a.print(accounts, nil)
	}
	writeServerConfig(a.Out, accounts)
	return nil
}

func (c *natsPermissions) accounts() []natsAccount {
	list := []natsAccount{{Account: ours, Streams: true, Users: []natsUser{
		{"whisperer", permissionsOf(bus.ProgramAccess(c.Namespace))}, {"operator", permissionsOf(bus.OperatorAccess())},
	}}}
	for _, tenant := range c.Tenants {
		name, events, callbacks := "OMS_"+tenant, bus.EventSubjects(c.Namespace, tenant), bus.CallbackSubjects(tenant)
		list[0].Exports = append(list[0].Exports, natsExport{"service", events, name}, natsExport{"stream", callbacks, name})
		list = append(list, natsAccount{
			Account: name, Users: []natsUser{{"oms-" + tenant, permissionsOf(bus.PublisherAccess(c.Namespace, tenant))}},
			Imports: []natsImport{{"service", events, ours}, {"stream", callbacks, ours}},
		})
	}
	return list
}

func permissionsOf(access bus.Access) natsRights {
	return natsRights{natsSubjects{access.Publish, access.DenyPublish}, natsSubjects{Allow: access.Subscribe}}
}

// passwordVariable returns the variable from which nats-server reads a user's password.
func passwordVariable(user string) string {
	return "NATS_PASSWORD_" + strings.ToUpper(strings.ReplaceAll(user, "-", "_"))
}

func writeServerConfig(w io.Writer, accounts []natsAccount) {
	fmt.Fprintf(w, "# NATS accounts of Whisperer, by `whisperer nats permissions`: include this in the configuration of each nats-server.\naccounts {\n")
	for _, account := range accounts {
		fmt.Fprintf(w, "  %s {\n", account.Account)
		if account.Streams {
			fmt.Fprintf(w, "    jetstream: enabled\n")
		}
		fmt.Fprintf(w, "    users: [\n")
		for _, u := range account.Users {
			p := u.Permissions
			fmt.Fprintf(w, "      {user: %s, password: $%s, permissions: {\n        publish: {allow: %s%s}\n        subscribe: {allow: %s}\n      }}\n",
				u.Name, passwordVariable(u.Name), quoted(p.Publish.Allow), denied(p.Publish.Deny), quoted(p.Subscribe.Allow))
		}
		fmt.Fprintf(w, "    ]\n")
		if len(account.Exports) > 0 {
			fmt.Fprintf(w, "    exports: [\n")
			for _, e := range account.Exports {
				fmt.Fprintf(w, "      {%s: %q, accounts: [%s]}\n", e.Type, e.Subject, e.To)
			}
			fmt.Fprintf(w, "    ]\n")
		}
		if len(account.Imports) > 0 {
			fmt.Fprintf(w, "    imports: [\n")
			for _, i := range account.Imports {
				fmt.Fprintf(w, "      {%s: {account: %s, subject: %q}}\n", i.Type, i.From, i.Subject)
			}
			fmt.Fprintf(w, "    ]\n")
		}
		fmt.Fprintf(w, "  }\n")
	}
	fmt.Fprintf(w, "}\n")
}

func denied(subjects []string) string {
	if len(subjects) == 0 {
		return ""
	}
	return ", deny: " + quoted(subjects)
}

func quoted(subjects []string) string {
	list := make([]string, len(subjects))
	for i, s := range subjects {
		list[i] = strconv.Quote(s)
	}
	return "[" + strings.Join(list, ", ") + "]"
}

// natsCredentials returns the credentials in the services' variables.
func natsCredentials(environ []string) (bus.Credentials, error) {
	type config struct {
		NATS bus.Credentials `envPrefix:"NATS_"`
	}
	c, err := daemon.LoadConfig[config](environ)
	if err != nil {
		return c.NATS, err
	}
	return c.NATS, c.NATS.Validate()
}

// natsVariables returns the environment variables with NATS credentials.
func natsVariables(environ []string) (list []string) {
	for _, variable := range environ {
		if strings.HasPrefix(variable, daemon.Prefix+"NATS_") && !strings.HasPrefix(variable, daemon.Prefix+"NATS_URL=") {
			list = append(list, variable)
		}
	}
	return list
}
