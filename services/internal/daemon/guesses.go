package daemon

import (
	"context"
	"net/netip"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"golang.org/x/time/rate"
)

const (
	// guessEvery is the interval at which an address that has used up its wrong guesses gets another one.
	guessEvery = 3 * time.Second
	// allGuesses is how many wrong guesses per second all addresses together may make, and allGuessesBurst how many
	// at once.
	allGuesses, allGuessesBurst = 50, 500
	// tellEvery is how often guessing from one address is reported, and tellAtOnce how many addresses may be reported
	// in that time.
	tellEvery  = 10 * time.Minute
	tellAtOnce = 20
	// maxGuessers bounds how many addresses are remembered.
	maxGuessers = 10_000
)

// Guesses slows down attackers who guess secrets, per address and over all addresses. Correct secrets cost nothing. A
// nil *Guesses imposes no limit.
type Guesses struct {
	burst   int
	all     *rate.Limiter
	tell    *rate.Limiter
	counted *prometheus.CounterVec
	report  func(context.Context, Guessed)

	mu    sync.Mutex
	addrs map[netip.Addr]*guesser
}

// guesser is an address that has guessed wrong.
type guesser struct {
	limiter *rate.Limiter
	wrong   int
	since   time.Time
	told    time.Time
}

// NewGuesses returns a Guesses that lets each address guess wrong burst times at once. It reports addresses that
// guess more often, each at most once in tellEvery.
func NewGuesses(burst int, metrics prometheus.Registerer, report func(context.Context, Guessed)) (*Guesses, error) {
	g := &Guesses{
		burst: burst, report: report, all: rate.NewLimiter(allGuesses, allGuessesBurst), tell: rate.NewLimiter(rate.Every(tellEvery/tellAtOnce), tellAtOnce),
		counted: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "whisperer_api_guesses_total", Help: "Invalid tokens, in requests and when signing in: wrong ones that were looked up, and those refused without a look-up.",
		}, []string{"outcome"}),
		addrs: map[netip.Addr]*guesser{},
	}
	for _, outcome := range []string{"wrong", "refused"} {
		g.counted.WithLabelValues(outcome)
	}
	return g, metrics.Register(g.counted)
}

// Wait returns how long the address has to wait before it may guess again; 0 means that it may now.
func (g *Guesses) Wait(addr netip.Addr) time.Duration {
	if g == nil {
		return 0
	}
	g.mu.Lock()
	defer g.mu.Unlock()
	now := time.Now()
	limited := g.all.TokensAt(now) < 1
	wait := time.Second
	if own := g.addrs[addr]; own != nil && own.limiter.TokensAt(now) < 1 {
		limited, wait = true, guessEvery
	}
	if !limited {
		return 0
	}
	g.counted.WithLabelValues("refused").Inc()
	return wait
}

// Guessed is the report about an address that guesses too often.
type Guessed struct {
	Addr  netip.Addr
	Wrong int
	Since time.Time
}

// Wrong records a wrong guess of the address.
func (g *Guesses) Wrong(ctx context.Context, addr netip.Addr) {
	if g == nil {
		return
	}
	g.counted.WithLabelValues("wrong").Inc()
	if about, many := g.note(addr); many {
		g.report(ctx, about)
	}
}

func (g *Guesses) note(addr netip.Addr) (about Guessed, many bool) {
	g.mu.Lock()
	defer g.mu.Unlock()
	now := time.Now()
	g.all.AllowN(now, 1)
	own := g.addrs[addr]
	if own == nil {
		g.forget(now)
		own = &guesser{limiter: rate.NewLimiter(rate.Every(guessEvery), g.burst), since: now}
		g.addrs[addr] = own
	}
	own.limiter.AllowN(now, 1)
	own.wrong++
	if own.limiter.TokensAt(now) >= 1 || now.Sub(own.told) < tellEvery || !g.tell.AllowN(now, 1) {
		return about, false
	}
	about = Guessed{Addr: addr, Wrong: own.wrong, Since: own.since}
	own.told, own.wrong, own.since = now, 0, now
	return about, true
}

// forget makes room for another address. It drops the addresses that have waited long enough, or else any one.
func (g *Guesses) forget(now time.Time) {
	if len(g.addrs) < maxGuessers {
		return
	}
	var anyone netip.Addr
	for addr, own := range g.addrs {
		anyone = addr
		if own.limiter.TokensAt(now) >= float64(g.burst) {
			delete(g.addrs, addr)
		}
	}
	delete(g.addrs, anyone)
}
