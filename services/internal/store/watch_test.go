package store_test

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"sync"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/jmoiron/sqlx"
	"github.com/stretchr/testify/require"
	"go.uber.org/zap"

	"github.com/whisperer-oms/whisperer/pkg/webhook"
	"github.com/whisperer-oms/whisperer/services/internal/seal"
	"github.com/whisperer-oms/whisperer/services/internal/store"
	"github.com/whisperer-oms/whisperer/services/internal/testenv"
)

// hookSet is what a worker would know.
type hookSet struct {
	mu       sync.Mutex
	hooks    map[uuid.UUID]webhook.Hook
	tenants  map[string]bool
	backlogs map[uuid.UUID]bool
	reloads  int
}

func (s *hookSet) Replace(hooks []*webhook.Hook, tenants []string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.hooks, s.tenants = map[uuid.UUID]webhook.Hook{}, map[string]bool{}
	for _, h := range hooks {
		s.hooks[h.ID] = *h
	}
	for _, name := range tenants {
		s.tenants[name] = true
	}
	s.reloads++
}

func (s *hookSet) Put(h webhook.Hook) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.hooks[h.ID] = h
}

func (s *hookSet) Remove(id uuid.UUID) {
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.hooks, id)
}

func (s *hookSet) SetTenant(name string, there bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if there {
		s.tenants[name] = true
	} else {
		delete(s.tenants, name)
	}
}

func (s *hookSet) PutBacklog(id uuid.UUID) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.backlogs[id] = true
}

func (s *hookSet) known(id uuid.UUID) (webhook.Hook, bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	h, ok := s.hooks[id]
	return h, ok
}

func (s *hookSet) names() []string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.Sorted(maps.Keys(s.tenants))
}

func (s *hookSet) loads() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.reloads
}

// watch watches the database until the test ends, and returns once everything was read.
func watch(t *testing.T, db *store.DB) *hookSet {
	t.Helper()
	set, _ := watchAs(t, db, "worker")
	return set
}

func watchAs(t *testing.T, db *store.DB, worker string) (*hookSet, *store.Watch) {
	t.Helper()
	set := &hookSet{backlogs: map[uuid.UUID]bool{}}
	w, err := db.Hooks.Watch(store.WatchOptions{Hooks: set, Worker: worker, Log: zap.NewNop()})
	require.NoError(t, err)
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan struct{})
	go func() { w.Run(ctx); close(ended) }()
	t.Cleanup(func() {
		cancel()
		<-ended
	})
	select {
	case <-w.Loaded():
	case <-time.After(time.Minute):
		require.Fail(t, "not loaded")
	}
	return set, w
}

// soon waits longer than the second within which changes take effect, so that a busy machine does not fail the test.
func soon(t *testing.T, fact func() bool, words ...any) {
	t.Helper()
	require.Eventually(t, fact, time.Minute, 2*time.Millisecond, words...)
}

func run(t *testing.T, plain *sqlx.DB, statement string, args ...any) {
	t.Helper()
	_, err := plain.ExecContext(t.Context(), statement, args...)
	require.NoError(t, err)
}

func createHook(t *testing.T, db *store.DB, h webhook.Hook) webhook.Hook {
	t.Helper()
	h, err := db.Hooks.Create(t.Context(), actor, h, quota, store.IdempotencyKey{})
	require.NoError(t, err)
	return h
}

func TestChangesByPlainSQLAreSeen(t *testing.T) {
	t.Parallel()
	db, plain := open(t)
	there := createHook(t, db, fullHook(t))
	set := watch(t, db)
	got, ok := set.known(there.ID)
	require.True(t, ok)
	require.Equal(t, there, got, "secrets and all")

	other := createHook(t, db, simpleHook(1))
	soon(t, func() bool { _, ok := set.known(other.ID); return ok }, "created")
	run(t, plain, `UPDATE hooks SET status = 'paused', event_types = '{order.>}' WHERE id = $1`, other.ID)
	soon(t, func() bool {
		h, _ := set.known(other.ID)
		return h.Status == webhook.Paused && slices.Equal(h.EventTypes, []string{"order.>"})
	}, "updated")
	run(t, plain, `DELETE FROM hooks WHERE id = $1`, other.ID)
	soon(t, func() bool { _, ok := set.known(other.ID); return !ok }, "deleted")
	soon(t, func() bool { set.mu.Lock(); defer set.mu.Unlock(); return set.backlogs[other.ID] }, "a drainer cancels what waits")
	require.Equal(t, 1, set.loads(), "nothing of that took reading all again")

	const many = 300
	run(t, plain, `
		INSERT INTO hooks (id, tenant, event_types, target_url)
		SELECT gen_random_uuid(), 'default', '{*}', 'https://example.com/many/' || n FROM generate_series(1, $1::int) n`, many)
	soon(t, func() bool { set.mu.Lock(); defer set.mu.Unlock(); return len(set.hooks) == many+1 }, "many at once")
	run(t, plain, `DELETE FROM hooks WHERE target_url LIKE 'https://example.com/many/%'`)
	soon(t, func() bool { set.mu.Lock(); defer set.mu.Unlock(); return len(set.hooks) == 1 })
}

func TestAHookThatCannotBeReadIsPaused(t *testing.T) {
	t.Parallel()
	db, plain := open(t)
	good, bad := createHook(t, db, simpleHook(1)), createHook(t, db, simpleHook(2))
	run(t, plain, `UPDATE hooks SET config = '{"timeout": 0}' WHERE id = $1`, bad.ID)
	set := watch(t, db)
	status := func(h webhook.Hook) webhook.HookStatus {
		h, ok := set.known(h.ID)
		require.True(t, ok)
		return h.Status
	}
	require.Equal(t, webhook.Active, status(good))
	require.Equal(t, webhook.Paused, status(bad), "what it should have got is parked")
	run(t, plain, `UPDATE hooks SET config = '{}' WHERE id = $1`, bad.ID)
	soon(t, func() bool { return status(bad) == webhook.Active })
	run(t, plain, `UPDATE hooks SET config = 'no JSON' WHERE id = $1`, bad.ID)
	soon(t, func() bool { return status(bad) == webhook.Paused })
}

func TestTenantsComeAndGo(t *testing.T) {
	t.Parallel()
	db, plain := open(t)
	set := watch(t, db)
	require.Equal(t, []string{"default"}, set.names())
	run(t, plain, `INSERT INTO tenants (name) VALUES ('acme'), ('other')`)
	soon(t, func() bool { return slices.Equal(set.names(), []string{"acme", "default", "other"}) })
	require.Equal(t, 1, set.loads())
	run(t, plain, `DELETE FROM tenants WHERE name = 'acme'`)
	soon(t, func() bool { return slices.Equal(set.names(), []string{"default", "other"}) })
}

func TestALostConnectionIsMadeUpFor(t *testing.T) {
	t.Parallel()
	db, plain := open(t)
	hook := createHook(t, db, simpleHook(1))
	set := watch(t, db)
	for round := range 2 {
		// the change commits while no connection listens
		run(t, plain, `
			WITH cut AS (
				SELECT pg_terminate_backend(pid, 5000) FROM pg_stat_activity
				WHERE datname = current_database() AND pid <> pg_backend_pid() AND query LIKE 'LISTEN%')
			SELECT count(*) FROM cut`)
		run(t, plain, `UPDATE hooks SET name = $2 WHERE id = $1`, hook.ID, fmt.Sprint("cut ", round))
		require.Eventually(t, func() bool { h, _ := set.known(hook.ID); return h.Name == fmt.Sprint("cut ", round) }, time.Minute, 5*time.Millisecond)
		require.Equal(t, 1, set.loads(), "nothing of that took reading all again")
		run(t, plain, `UPDATE hooks SET name = 'again' WHERE id = $1`, hook.ID)
		soon(t, func() bool { h, _ := set.known(hook.ID); return h.Name == "again" }, "and it listens again")
	}
}

func TestWatchingEndsWhetherOrNotTheDatabaseAnswers(t *testing.T) {
	t.Parallel()
	ring, err := seal.ParseRing(seal.NewKey())
	require.NoError(t, err)
	db, err := store.Open("postgres://whisperer@127.0.0.1:1/whisperer?sslmode=disable", 2, ring) // nothing listens there
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, db.Close()) })
	ctx, cancel := context.WithTimeout(t.Context(), time.Second)
	defer cancel()
	ended := make(chan error, 1)
	w, err := db.Hooks.Watch(store.WatchOptions{Hooks: &hookSet{}, Log: zap.NewNop()})
	require.NoError(t, err)
	go func() { w.Run(ctx); ended <- w.Ready(t.Context()) }()
	select {
	case err := <-ended:
		require.ErrorContains(t, err, "not loaded yet: database is unavailable: load hooks: ")
	case <-time.After(time.Minute):
		require.Fail(t, "it goes on watching")
	}
}

func TestHooksThatAreLoadedTogetherAreEachTheirOwn(t *testing.T) {
	t.Parallel()
	db, _ := open(t)
	var want []webhook.Hook
	for i, text := range []string{
		`{"channel_id":1}`, `{"channel_id":1}`, `{"channel_id":2,"auth":{"auth_type":"basic","username":"a","password":"b"}}`, `{"channel_id":2}`,
	} {
		h := fullHook(t)
		h.TargetURL += strconv.Itoa(i)
		var err error
		h.Config, err = webhook.ParseConfig([]byte(text))
		require.NoError(t, err)
		want = append(want, createHook(t, db, h))
	}
	set := watch(t, db)
	for _, h := range want {
		got, ok := set.known(h.ID)
		require.True(t, ok)
		require.Equal(t, h, got)
	}
}

// A long transaction hides neither its own changes nor those that others make meanwhile.
func TestALongTransactionHidesNoChange(t *testing.T) {
	t.Parallel()
	db, plain := open(t)
	early, late := createHook(t, db, simpleHook(1)), createHook(t, db, simpleHook(2))
	set := watch(t, db)
	name := func(h webhook.Hook, want string) func() bool {
		return func() bool { h, _ := set.known(h.ID); return h.Name == want }
	}
	long, err := plain.BeginTxx(t.Context(), nil)
	require.NoError(t, err)
	defer long.Rollback()
	_, err = long.ExecContext(t.Context(), `UPDATE hooks SET name = 'by the long one' WHERE id = $1`, early.ID)
	require.NoError(t, err)
	for i := range 3 { // each is found by a poll of its own
		want := fmt.Sprint("meanwhile ", i)
		run(t, plain, `UPDATE hooks SET name = $2 WHERE id = $1`, late.ID, want)
		soon(t, name(late, want))
	}
	require.False(t, name(early, "by the long one")())
	require.NoError(t, long.Commit())
	soon(t, name(early, "by the long one"))
	run(t, plain, `TRUNCATE hooks CASCADE`)
	soon(t, func() bool { _, ok := set.known(early.ID); return !ok })
}

func TestAHookThatAnotherMasterKeySealedKeepsOnlyItselfOut(t *testing.T) {
	t.Parallel()
	url := testenv.Postgres(t)
	mine, plain := at(t, url)
	others, _ := at(t, url)
	good := createHook(t, mine, fullHook(t))
	set, w := watchAs(t, mine, "worker")
	foreign := fullHook(t)
	foreign.TargetURL += "/foreign"
	foreign = createHook(t, others, foreign)
	soon(t, func() bool { _, ok := set.known(foreign.ID); return ok })
	got, _ := set.known(foreign.ID)
	require.Equal(t, webhook.Paused, got.Status, "what it should get is parked")
	require.Contains(t, got.Unreadable, "which is not in WHISPERER_MASTER_KEY here")
	require.Equal(t, foreign.Config.Raw, got.Config.Raw, "it is asked for what it wants")
	require.Equal(t, 1, w.Unreadable())
	run(t, plain, `UPDATE hooks SET name = 'new' WHERE id = $1`, good.ID)
	soon(t, func() bool { h, _ := set.known(good.ID); return h.Name == "new" && h.Unreadable == "" })
	require.NoError(t, w.Ready(t.Context()))
	run(t, plain, `DELETE FROM hooks WHERE id = $1`, foreign.ID)
	soon(t, func() bool { return w.Unreadable() == 0 })
}

// Of two workers, only the running one is waited for, up to the snapshot that it knows.
func TestWorkersSayWhatTheyKnow(t *testing.T) {
	t.Parallel()
	db, plain := open(t)
	_, w := watchAs(t, db, "a")
	h := createHook(t, db, simpleHook(1))
	var names []string
	soon(t, func() bool {
		require.NoError(t, plain.Select(&names, `
			SELECT name FROM workers w JOIN hook_gaps g ON pg_visible_in_snapshot(g.xid, w.snapshot)
			WHERE w.expires_at > clock_timestamp() AND g.hook_id = $1`, h.ID))
		return slices.Equal(names, []string{"a"})
	})
	require.NoError(t, w.Refresh(t.Context()))
	require.Less(t, w.Age(), store.Stale)
}
