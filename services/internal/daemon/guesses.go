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
	// guessEvery is how often an address that has guessed wrong too often may guess again.
	guessEvery = 3 * time.Second
	// allGuesses is how many wrong guesses a second all addresses together may make, and allGuessesBurst how many at once.
	allGuesses, allGuessesBurst = 50, 500
	// tellEvery is how often guessing from one address is reported, and tellAtOnce how many addresses are in that time.
	tellEvery  = 10 * time.Minute
	tellAtOnce = 20
	// maxGuessers bounds how many addresses are remembered.
	maxGuessers = 10_000
)

// Guesses slows down those who guess secrets: by address, and all together. What is right costs nothing. A nil one lets
// everybody guess.
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

// NewGuesses makes one that lets each address guess wrong so often at once, and reports those who do so more often, once in
// a while for each.
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

// Wait is how long the address has to wait before it may guess again; 0 if it may now.
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

// Guessed is what is reported of an address that guesses too often.
type Guessed struct {
	Addr  netip.Addr
	Wrong int
	Since time.Time
}

// Wrong notes that the address guessed wrong.
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

// forget makes room for another address: those that have waited long enough go, and else anyone.
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
