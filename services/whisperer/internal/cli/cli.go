// Package cli implements the command line, with one file for each noun. It parses flags, calls pkg/client and prints.
package cli

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net/http"
	"os"
	"path/filepath"
	"reflect"
	"strings"

	"github.com/alecthomas/kong"

	"github.com/whisperer-oms/whisperer/pkg/client"
	"github.com/whisperer-oms/whisperer/pkg/webhook"
)

// DataDir is the data folder of standalone, where the CLI finds its token and URL.
const DataDir = "./.whisperer"

// Names of files in the data folder.
const (
	tokenFile = "token"
	urlFile   = "url"
)

const description = `Whisperer delivers order-management events to partners' systems as webhooks.

Exit codes: 0 done, 1 failed, 2 wrong usage, 3 not found, 4 refused (token), 5 conflict, 6 unavailable (try again later),
7 differs (sync --check, reconcile).`

// Program is the environment of a command: what it reads, and where it writes.
type Program struct {
	// Name is the name by which the program was called.
	Name    string
	Args    []string
	In      io.Reader
	Out     io.Writer
	Err     io.Writer
	Version string
	// Environ is the environment, as os.Environ returns it.
	Environ []string
	// Width is the number of columns of Out; 0 if it is not a terminal.
	Width int
	// Color says that Out is a terminal with colors.
	Color bool
	// Live says that Err is a terminal, on which a line can be rewritten.
	Live bool
}

// commands is the grammar of the command line.
type commands struct {
	globals

	Standalone   standaloneCommand   `cmd:"" help:"Run everything in this process: NATS, PostgreSQL, API, worker and a demo."`
	Hook         hookCommand         `cmd:"" help:"Manage hooks."`
	Event        eventCommand        `cmd:"" help:"Publish events, look them up, and see what became of them."`
	EventType    eventTypeCommand    `cmd:"" help:"Look up and declare event types."`
	Delivery     deliveryCommand     `cmd:"" help:"Look up and retry deliveries."`
	Reconcile    reconcileCommand    `cmd:"" help:"Compare what was sent to a hook with what its receiver has, and replay what is missing."`
	Job          jobCommand          `cmd:"" help:"Follow, pause and cancel replays."`
	Erase        eraseCommand        `cmd:"" help:"Erase payloads of events, permanently."`
	Erasure      erasureCommand      `cmd:"" help:"Follow erasures, and print their certificates."`
	Retention    retentionCommand    `cmd:"" help:"Manage how long payloads of event types are kept."`
	Rejected     rejectedCommand     `cmd:"" help:"Look up rejected events."`
	Ledger       ledgerCommand       `cmd:"" help:"Restore ledger entries that could not be recorded."`
	Sync         syncCommand         `cmd:"" help:"Make a tenant's hooks match a YAML file, after showing the differences."`
	Export       exportCommand       `cmd:"" help:"Write a tenant's hooks and event types, without secrets, to a file for sync and import."`
	Import       importCommand       `cmd:"" help:"Create what a file has and the tenant lacks; change nothing that exists."`
	Listen       listenCommand       `cmd:"" help:"Receive webhooks here, verify their signatures and print them."`
	Token        tokenCommand        `cmd:"" help:"Manage API tokens."`
	SigningKey   signingKeyCommand   `cmd:"" help:"List and rotate the keys that sign HTTP Message Signatures (RFC 9421)."`
	Tenant       tenantCommand       `cmd:"" help:"Manage tenants, as an operator."`
	Audit        auditCommand        `cmd:"" help:"Look up the audit log."`
	Migrate      migrateCommand      `cmd:"" help:"Migrate the database to this program's schema."`
	Secrets      secretsCommand      `cmd:"" help:"Change the master key that encrypts secrets."`
	ImportDjango importDjangoCommand `cmd:"" help:"Import hooks from a dump of the Django application."`
	NATS         natsCommand         `cmd:"" name:"nats" help:"Print what NATS needs for an installation."`
	Doctor       doctorCommand       `cmd:"" help:"Check everything an installation needs, and print a fix for each problem."`
	Bench        benchCommand        `cmd:"" help:"Measure an installation: deliveries per second, and latency."`
	Healthcheck  healthcheckCommand  `cmd:"" help:"Check whether a service is ready; exit code 6 if not."`
	Profile      profileCommand      `cmd:"" help:"Save an installation's URL, token and tenant under a name."`
	Help         helpCommand         `cmd:"" help:"Show a help topic with examples, or the help of a command."`
	Completion   completionCommand   `cmd:"" help:"Print a shell completion script."`
	Manual       manualCommand       `cmd:"" help:"Print the reference of all commands."`
	Version      versionCommand      `cmd:"" help:"Print the version."`
}

// globals are the flags of every command.
type globals struct {
	URL     string `help:"API address (default: from ${data_dir}/url, else http://127.0.0.1:8080)." env:"WHISPERER_URL" placeholder:"URL"`
	Profile string `help:"Use the URL, token and tenant of this profile (whisperer profile add)." env:"WHISPERER_PROFILE" placeholder:"NAME"`
	Token   string `help:"API token (default: from ${data_dir}/token)." env:"WHISPERER_TOKEN" placeholder:"TOKEN"`
	Tenant  string `help:"Act for this tenant, with an operator's token." env:"WHISPERER_TENANT" placeholder:"NAME"`
	JSON    bool   `help:"Print JSON instead of tables." name:"json"`
	JQ      string `help:"Print the result of this jq expression over the JSON, such as '.[].id'." name:"jq" placeholder:"EXPRESSION"`

	Columns []string `help:"Print only these columns of a list, in this order." placeholder:"NAME"`
	CSV     bool     `help:"Print a list as CSV (RFC 4180), with whole ids and all columns." name:"csv"`
	NDJSON  bool     `help:"Print a list as JSON, one entry per line." name:"ndjson"`
	Wide    bool     `help:"Print whole ids and lines, even on a narrow terminal."`
}

// Run runs the command in the arguments and returns the exit code.
func Run(ctx context.Context, p Program) int {
	c := &commands{}
	shown := false // --help has been printed
	parser, err := newParser(c, kong.Writers(p.Out, p.Err), kong.Exit(func(int) { shown = true }), kong.BindTo(ctx, (*context.Context)(nil)))
	if err != nil {
		fmt.Fprintf(p.Err, "whisperer: %s\n", err)
		return exitFailed
	}
	switch {
	case len(p.Args) == 0:
		p.Args = []string{"--help"}
	case len(p.Args) == 1 && p.Args[0] == "--version": // not a flag of every command, because hook update has a flag of that name
		p.Args = []string{"version"}
	}
	parsed, err := parser.Parse(p.Args)
	switch {
	case shown:
		return exitOK
	case err != nil:
		p.complain("", "whisperer: %s", misuse(err))
		return exitUsage
	}
	a := &app{Program: p, globals: c.globals, model: parser.Model}
	err = nil
	if !strings.HasPrefix(parsed.Command(), "profile ") {
		err = a.useProfile()
	}
	if err == nil {
		err = parsed.Run(a)
	}
	if err != nil {
		a.explain(err)
		return exitCode(err)
	}
	return exitOK
}

func newParser(c *commands, options ...kong.Option) (*kong.Kong, error) {
	c.Hook.Create.hookFlags, c.Hook.Update.hookFlags = newHookFlags(), newHookFlags()
	return kong.New(c, append(options,
		kong.Name("whisperer"), kong.Description(description), kong.Vars{"data_dir": DataDir},
		kong.TypeMapper(reflect.TypeFor[webhook.LabelSelector](), kong.MapperFunc(readLabel)),
		kong.ConfigureHelp(kong.HelpOptions{Compact: true, NoExpandSubcommands: true}))...)
}

// Check reports why args, without the program's name, are not a valid command line. It does not run the command.
// Tests use it to check the commands in the documentation.
func Check(args []string) error {
	parser, err := newParser(&commands{}, kong.Writers(io.Discard, io.Discard), kong.Exit(func(int) {}))
	if err != nil {
		return err
	}
	_, err = parser.Parse(args)
	return err
}

// app is what commands get.
type app struct {
	Program
	globals

	model *kong.Application
}

// client returns an API client for the chosen tenant; the error is a usage error.
func (a *app) client() (*client.Client, error) { return a.clientFor(a.Tenant) }

// clientFor returns an API client for a tenant; empty means the token's own.
func (a *app) clientFor(tenant string) (*client.Client, error) {
	url, err := firstOf(a.URL, urlFile)
	if err != nil {
		return nil, err
	}
	if url == "" {
		url = "http://127.0.0.1:8080"
	}
	token := a.Token
	if a.Profile == "" { // the file's token is for the local installation, not for the profile's
		if token, err = firstOf(a.Token, tokenFile); err != nil {
			return nil, err
		}
	}
	c, err := client.New(client.Options{URL: url, Token: token, Tenant: tenant, UserAgent: "whisperer-cli/" + a.Version})
	if err != nil {
		return nil, usage("%s", err)
	}
	return c, nil
}

// firstOf returns the given value, or else that of the file in the data folder, or else "".
func firstOf(given, file string) (string, error) {
	if given != "" {
		return given, nil
	}
	text, err := os.ReadFile(filepath.Join(DataDir, file))
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return "", nil
	case err != nil:
		return "", fmt.Errorf("read %s: %w", file, err)
	}
	return strings.TrimSpace(string(text)), nil
}

// Exit codes; --help lists them.
const (
	exitOK          = 0
	exitFailed      = 1
	exitUsage       = 2
	exitNotFound    = 3
	exitRefused     = 4
	exitConflict    = 5
	exitUnavailable = 6
	exitDiffers     = 7
)

// usageError is an error in the command line that only the command can detect.
type usageError struct{ text string }

func (e *usageError) Error() string { return e.text }

func usage(format string, args ...any) error { return &usageError{fmt.Sprintf(format, args...)} }

func exitCode(err error) int {
	var wrong *usageError
	switch {
	case errors.As(err, &wrong):
		return exitUsage
	case errors.Is(err, errDiffers), errors.Is(err, errReceiverDiffers):
		return exitDiffers
	case errors.Is(err, webhook.ErrNotFound):
		return exitNotFound
	case errors.Is(err, client.ErrRefused):
		return exitRefused
	case errors.Is(err, webhook.ErrConflict), errors.Is(err, webhook.ErrVersion):
		return exitConflict
	case errors.Is(err, client.ErrUnavailable):
		return exitUnavailable
	default:
		return exitFailed
	}
}

// explain prints an error: the fields of a problem one per line, and advice. With --json it prints a JSON object.
func (a *app) explain(err error) {
	var problem *client.ProblemError
	isProblem := errors.As(err, &problem)
	if a.asJSON() {
		var shown any = problem
		if !isProblem {
			shown = struct {
				Title  string `json:"title"`
				Status int    `json:"status"`
			}{Title: err.Error()}
		}
		if text, err := json.Marshal(shown); err == nil {
			fmt.Fprintf(a.Err, "%s\n", text)
		}
		return
	}
	if !isProblem {
		lines := strings.Split(err.Error(), "\n")
		if exitCode(err) != exitUsage && len(lines) == 2 {
			lines = []string{strings.Join(lines, ": ")}
		}
		a.complain("", "whisperer: %s", lines[0])
		for _, line := range lines[1:] { // one error per line
			a.complain("  ", "%s", line)
		}
	} else {
		a.complain("", "whisperer: %s (%d)", strings.TrimSuffix(firstText(problem.Detail, problem.Title), "."), problem.Status)
		for _, f := range problem.Errors {
			a.complain("  ", "%s", strings.TrimPrefix(f.Pointer+": "+f.Detail, ": "))
		}
		if problem.ExistingID != nil {
			a.complain("  ", "existing: %s", problem.ExistingID)
		}
	}
	switch {
	case errors.Is(err, client.ErrRefused):
		a.complain("  ", "Give a token by --token or WHISPERER_TOKEN; `whisperer token create` makes one.")
	case isProblem && problem.Status == http.StatusNotFound && problem.Detail == "":
		a.complain("  ", "Is this the API's address? Set it by --url or WHISPERER_URL.")
	case errors.Is(err, client.ErrUnavailable) && strings.Contains(err.Error(), "reach API"):
		a.complain("  ", "Set the API's address by --url or WHISPERER_URL; `whisperer standalone` starts one here.")
	}
}

func firstText(texts ...string) string {
	for _, t := range texts {
		if t != "" {
			return t
		}
	}
	return ""
}
