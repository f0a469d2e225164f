package bench

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"runtime/pprof"
)

// Roles of parts.
const (
	roleReceiver = "receiver"
	roleClient   = "client"
	roleNATS     = "nats-server"
	roleWorker   = "delivery-worker"
	roleAPI      = "subscription-api"
)

// Requests that every part supports.
const (
	verbStart        = "start"
	verbProfile      = "profile"
	verbStopProfiles = "stop-profiles"
)

// verb is a request that a part supports.
type verb func(ctx context.Context, with json.RawMessage) (any, error)

// taking makes a verb from a function with a parameter of type T.
func taking[T any](do func(ctx context.Context, with T) (any, error)) verb {
	return func(ctx context.Context, raw json.RawMessage) (any, error) {
		var with T
		if err := json.Unmarshal(raw, &with); err != nil {
			return nil, fmt.Errorf("read request: %w", err)
		}
		return do(ctx, with)
	}
}

// role is what a part does, and how it ends.
type role struct {
	verbs map[string]verb
	stop  func()
}

// ServePart plays a part of the bench that has started this process, until in or ctx ends.
func ServePart(ctx context.Context, name, version string, in io.Reader, out io.Writer) error {
	makers := map[string]func() role{
		roleReceiver: newReceiver, roleClient: newClient, roleNATS: newNATS, roleWorker: func() role { return newWorker(version) },
		roleAPI: func() role { return newAPI(version) },
	}
	newRole, ok := makers[name]
	if !ok {
		return fmt.Errorf("the bench has no part %q", name)
	}
	r := newRole()
	defer r.stop()
	p := &profiler{}
	r.verbs[verbProfile], r.verbs[verbStopProfiles] = taking(p.start), taking(p.stop)
	ended := make(chan error, 1)
	go func() { ended <- r.serve(ctx, in, out) }()
	select {
	case err := <-ended:
		return err
	case <-ctx.Done():
		return nil
	}
}

func (r role) serve(ctx context.Context, in io.Reader, out io.Writer) error {
	requests, answers := json.NewDecoder(in), json.NewEncoder(out)
	for {
		var q request
		switch err := requests.Decode(&q); {
		case errors.Is(err, io.EOF):
			return nil
		case err != nil:
			return fmt.Errorf("read request: %w", err)
		}
		if err := answers.Encode(r.answer(ctx, q)); err != nil {
			return fmt.Errorf("write answer: %w", err)
		}
	}
}

func (r role) answer(ctx context.Context, q request) answer {
	do, ok := r.verbs[q.Verb]
	if !ok {
		return answer{Error: "unknown verb"}
	}
	with, err := do(ctx, q.With)
	if err != nil {
		return answer{Error: err.Error()}
	}
	raw, err := json.Marshal(with)
	if err != nil {
		return answer{Error: err.Error()}
	}
	return answer{With: raw}
}

// profiler writes profiles of its process.
type profiler struct {
	file *os.File
	base string
}

func (p *profiler) start(_ context.Context, base string) (any, error) {
	file, err := os.Create(base + ".cpu.pprof")
	if err != nil {
		return nil, fmt.Errorf("make profile: %w", err)
	}
	p.file, p.base = file, base
	return nil, pprof.StartCPUProfile(file)
}

func (p *profiler) stop(context.Context, any) (any, error) {
	if p.file == nil {
		return nil, nil //nolint:nilnil // nothing to tell
	}
	pprof.StopCPUProfile()
	err := p.file.Close()
	p.file = nil
	allocs, errCreate := os.Create(p.base + ".allocs.pprof")
	if errCreate != nil {
		return nil, errors.Join(err, errCreate)
	}
	return nil, errors.Join(err, pprof.Lookup("allocs").WriteTo(allocs, 0), allocs.Close())
}
