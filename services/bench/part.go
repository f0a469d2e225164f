package bench

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"sync"
	"syscall"
	"time"
)

// stopLimit is how long a part may take to shut down.
const stopLimit = 15 * time.Second

// part is a process of this program that plays a role. It ends when its standard input ends, and so with the bench,
// however that ends.
type part struct {
	name    string
	log     string // the file with its standard error
	command *exec.Cmd
	in      io.WriteCloser
	ended   chan struct{}

	mu  sync.Mutex // one request at a time
	out *json.Decoder
}

// request and answer are lines of JSON on a part's standard input and output.
type request struct {
	Verb string          `json:"verb"`
	With json.RawMessage `json:"with,omitempty"`
}

type answer struct {
	Error string          `json:"error,omitempty"`
	With  json.RawMessage `json:"with,omitempty"`
}

// startPart starts a process for the role; its log goes into the folder.
func (b *bench) startPart(ctx context.Context, role, dir string) (*part, error) {
	if err := ctx.Err(); err != nil {
		return nil, fmt.Errorf("start %s: %w", role, err)
	}
	log, err := os.CreateTemp(dir, role+"-*.log")
	if err != nil {
		return nil, fmt.Errorf("make log of %s: %w", role, err)
	}
	defer log.Close()
	args := append(b.Command[1:len(b.Command):len(b.Command)], role)
	//nolint:noctx,gosec // this program itself; it outlives the context to stop in good order
	command := exec.Command(b.Command[0], args...)
	command.Stderr = log
	command.Env = append(command.Environ(), "SSL_CERT_FILE="+b.authority())
	// a process group of its own: an interrupt from the terminal is for the bench, which stops its parts in order
	command.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	in, err := command.StdinPipe()
	if err != nil {
		return nil, fmt.Errorf("start %s: %w", role, err)
	}
	out, err := command.StdoutPipe()
	if err != nil {
		return nil, fmt.Errorf("start %s: %w", role, err)
	}
	if err := command.Start(); err != nil {
		return nil, fmt.Errorf("start %s: %w", role, err)
	}
	p := &part{
		name: filepath.Base(role), log: log.Name(), command: command, in: in, ended: make(chan struct{}), out: json.NewDecoder(out),
	}
	go func() {
		defer close(p.ended)
		_ = command.Wait() // how it ended shows in the requests to it
	}()
	return p, nil
}

func (p *part) process() process { return process{pid: p.command.Process.Pid} }

// do makes a request to the part and waits for its answer.
func (p *part) do(ctx context.Context, verb string, with, result any) error {
	done := make(chan error, 1)
	go func() {
		p.mu.Lock()
		defer p.mu.Unlock()
		done <- p.exchange(verb, with, result)
	}()
	select {
	case err := <-done:
		if err != nil {
			return fmt.Errorf("%s: %s: %w", p.name, verb, err)
		}
		return nil
	case <-ctx.Done():
		return fmt.Errorf("%s: %s: %w", p.name, verb, ctx.Err())
	}
}

func (p *part) exchange(verb string, with, result any) error {
	q := request{Verb: verb}
	var err error
	if q.With, err = json.Marshal(with); err != nil {
		return err
	}
	if err := json.NewEncoder(p.in).Encode(q); err != nil {
		return err
	}
	var a answer
	switch err := p.out.Decode(&a); {
	case errors.Is(err, io.EOF), errors.Is(err, os.ErrClosed):
		words, _ := os.ReadFile(p.log) // the last lines of its log
		return fmt.Errorf("the process has ended: %s", words[max(0, len(words)-2000):])
	case err != nil:
		return err
	case a.Error != "":
		return errors.New(a.Error)
	case result == nil:
		return nil
	}
	return json.Unmarshal(a.With, result)
}

// stop shuts the part down, or kills it if that takes too long.
func (p *part) stop() {
	_ = p.in.Close() // it may have ended already
	select {
	case <-p.ended:
	case <-time.After(stopLimit):
		_ = p.command.Process.Kill()
		<-p.ended
	}
}
