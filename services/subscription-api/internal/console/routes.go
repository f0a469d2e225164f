package console

import (
	"net/http"
	"strings"
	"time"

	"github.com/whisperer-oms/whisperer/services/internal/store"
	"github.com/whisperer-oms/whisperer/services/subscription-api/internal/usecase"
)

func (c *console) routes() *http.ServeMux {
	mux := http.NewServeMux()
	mux.Handle("GET "+Root+"static/{name}", c.assets)
	open := func(pattern string, h handler) { mux.Handle(rooted(pattern), c.serve(h)) }
	page := func(least store.Role, pattern string, h handler) {
		mux.Handle(rooted(pattern), c.serve(c.admit(least, h)))
	}

	open("GET sign-in", c.signInPage)
	open("POST sign-in", c.signIn)
	open("POST sign-out", c.signOut)
	open("POST theme", c.setTheme)
	page(store.Viewer, "GET tenants/{$}", c.listTenants)
	page(store.Viewer, "POST tenants/{$}", c.setTenant)
	page(store.Viewer, "GET {$}", c.lookUp(c.overview))
	c.hookRoutes(page)
	c.activityRoutes(page)
	slow := func(limit time.Duration, least store.Role, pattern string, h handler) {
		mux.Handle(rooted(pattern), c.serveWithin(limit+pageTimeout, c.admit(least, h)))
	}
	slow(usecase.TestTimeout, store.Editor, "POST hooks/{id}/test", c.testHook)
	slow(usecase.TestTimeout, store.Editor, "POST hooks/test", c.testForm)
	slow(usecase.BacktestTimeout, store.Editor, "POST hooks/backtest", c.lookUp(c.backtest))
	slow(usecase.ReplayTimeout, store.Viewer, "GET hooks/{id}/replay", c.lookUp(c.replayPage))
	slow(usecase.ReplayTimeout, store.Editor, "POST hooks/{id}/replay", c.lookUp(c.replayHook))
	slow(usecase.SearchTimeout, store.Viewer, "GET deliveries/{$}", c.lookUp(c.listDeliveries))
	slow(usecase.SearchTimeout, store.Viewer, "GET events/{$}", c.lookUp(c.listEvents))
	slow(usecase.PutBackTime, store.Admin, "POST set-aside/{$}", c.putBack)
	mux.Handle(rooted("GET deliveries/tail"), c.tail(c.tailDeliveries))
	mux.Handle(rooted("GET events/tail"), c.tail(c.tailEvents))

	page(store.Viewer, "GET types/{$}", c.listTypes)
	page(store.Viewer, "GET types/{name}", c.typePage)
	page(store.Admin, "GET tokens/{$}", c.listTokens)
	page(store.Admin, "POST tokens/{$}", c.createToken)
	page(store.Admin, "POST tokens/{id}/revoke", c.revokeToken)
	page(store.Admin, "GET audit/{$}", c.listAudit)
	page(store.Viewer, "GET system/{$}", c.systemPage)
	page(store.Viewer, "GET set-aside/{$}", c.listAside)
	page(store.Viewer, Root, c.nowhere)
	return mux
}

// hookRoutes are the pages of Settings, Webhooks.
func (c *console) hookRoutes(page func(store.Role, string, handler)) {
	page(store.Viewer, "GET hooks/{$}", c.lookUp(c.listHooks))
	page(store.Editor, "POST hooks/{$}", c.createHook)
	page(store.Editor, "POST hooks/status", c.setStatuses)
	page(store.Editor, "GET hooks/new", c.newHookPage)
	page(store.Editor, "POST hooks/check", c.checkHook)
	page(store.Viewer, "GET hooks/{id}/{$}", c.lookUp(c.hookPage))
	page(store.Editor, "POST hooks/{id}/{$}", c.changeHook)
	page(store.Editor, "GET hooks/{id}/edit", c.editHookPage)
	page(store.Editor, "POST hooks/{id}/status", c.setStatus)
	page(store.Editor, "POST hooks/{id}/rotate", c.rotateSecret)
	page(store.Editor, "GET hooks/{id}/delete", c.deleteHookPage)
	page(store.Editor, "POST hooks/{id}/delete", c.deleteHook)
	page(store.Viewer, "GET hooks/{id}/integrate", c.integratePage)
	page(store.Viewer, "GET hooks/{id}/changes", c.hookChanges)
	page(store.Editor, "GET hooks/{id}/test", c.testPage)
	page(store.Viewer, "GET jobs/{id}/{$}", c.jobPage)
	page(store.Editor, "POST jobs/{id}/{$}", c.changeJob)
}

// activityRoutes are the pages of what happened.
func (c *console) activityRoutes(page func(store.Role, string, handler)) {
	page(store.Editor, "GET deliveries/retry", c.lookUp(c.retryManyPage))
	page(store.Editor, "POST deliveries/retry", c.retryMany)
	page(store.Viewer, "GET deliveries/{id}/{$}", c.lookUp(c.deliveryPage))
	page(store.Editor, "POST deliveries/{id}/retry", c.lookUp(c.retryDelivery))
	page(store.Viewer, "GET event", c.lookUp(c.eventPage))
	page(store.Viewer, "GET event/explain", c.lookUp(c.explainPage))
	page(store.Viewer, "GET rejected/{$}", c.lookUp(c.listRejected))
}

// rooted puts the console's root between a pattern's method and path.
func rooted(pattern string) string {
	method, path, ok := strings.Cut(pattern, " ")
	if !ok {
		return pattern
	}
	return method + " " + Root + path
}
