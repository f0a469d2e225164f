package console

import (
	"net/http"
	"strings"

	"github.com/whisperer-oms/whisperer/pkg/postgres"
)

func (c *console) routes() *http.ServeMux {
	mux := http.NewServeMux()
	mux.Handle("GET "+Root+"static/{name}", c.assets)
	open := func(pattern string, h handler) { mux.Handle(rooted(pattern), c.serve(h)) }
	page := func(least postgres.Role, pattern string, h handler) {
		mux.Handle(rooted(pattern), c.serve(c.admit(least, h)))
	}

	open("GET sign-in", c.signInPage)
	open("POST sign-in", c.signIn)
	open("POST sign-out", c.signOut)
	open("POST theme", c.setTheme)
	page(postgres.Viewer, "GET tenants/{$}", c.listTenants)
	page(postgres.Viewer, "POST tenants/{$}", c.setTenant)
	page(postgres.Viewer, "GET {$}", c.lookUp(c.overview))
	c.hookRoutes(page)
	c.activityRoutes(page)
	slow := func(pattern string, h handler) {
		mux.Handle(rooted(pattern), c.serveWithin(tryTimeout, c.admit(postgres.Editor, h)))
	}
	slow("POST hooks/{id}/test", c.tryHook)
	slow("POST hooks/test", c.tryForm)
	mux.Handle(rooted("GET deliveries/tail"), c.tail(c.tailDeliveries))
	mux.Handle(rooted("GET events/tail"), c.tail(c.tailEvents))

	page(postgres.Viewer, "GET types/{$}", c.listTypes)
	page(postgres.Viewer, "GET types/{name}", c.typePage)
	page(postgres.Admin, "GET tokens/{$}", c.listTokens)
	page(postgres.Admin, "POST tokens/{$}", c.createToken)
	page(postgres.Admin, "POST tokens/{id}/revoke", c.revokeToken)
	page(postgres.Admin, "GET audit/{$}", c.listAudit)
	page(postgres.Viewer, "GET system/{$}", c.systemPage)
	page(postgres.Viewer, "GET set-aside/{$}", c.listAside)
	mux.Handle(rooted("POST set-aside/{$}"), c.serveWithin(putBackTime+pageTimeout, c.admit(postgres.Admin, c.putBack)))
	page(postgres.Viewer, Root, c.nowhere)
	return mux
}

// hookRoutes are the pages of Settings, Webhooks.
func (c *console) hookRoutes(page func(postgres.Role, string, handler)) {
	page(postgres.Viewer, "GET hooks/{$}", c.lookUp(c.listHooks))
	page(postgres.Editor, "POST hooks/{$}", c.createHook)
	page(postgres.Editor, "POST hooks/status", c.setStatuses)
	page(postgres.Editor, "GET hooks/new", c.newHookPage)
	page(postgres.Editor, "POST hooks/check", c.checkHook)
	page(postgres.Editor, "POST hooks/backtest", c.lookUp(c.backtest))
	page(postgres.Viewer, "GET hooks/{id}/{$}", c.lookUp(c.hookPage))
	page(postgres.Editor, "POST hooks/{id}/{$}", c.changeHook)
	page(postgres.Editor, "GET hooks/{id}/edit", c.editHookPage)
	page(postgres.Editor, "POST hooks/{id}/status", c.setStatus)
	page(postgres.Editor, "POST hooks/{id}/rotate", c.rotateSecret)
	page(postgres.Editor, "GET hooks/{id}/delete", c.deleteHookPage)
	page(postgres.Editor, "POST hooks/{id}/delete", c.deleteHook)
	page(postgres.Viewer, "GET hooks/{id}/integrate", c.integratePage)
	page(postgres.Viewer, "GET hooks/{id}/changes", c.hookChanges)
	page(postgres.Editor, "GET hooks/{id}/test", c.tryPage)
	page(postgres.Viewer, "GET hooks/{id}/replay", c.lookUp(c.replayPage))
	page(postgres.Editor, "POST hooks/{id}/replay", c.replayHook)
	page(postgres.Viewer, "GET jobs/{id}/{$}", c.jobPage)
	page(postgres.Editor, "POST jobs/{id}/{$}", c.changeJob)
}

// activityRoutes are the pages of what happened.
func (c *console) activityRoutes(page func(postgres.Role, string, handler)) {
	page(postgres.Viewer, "GET deliveries/{$}", c.lookUp(c.listDeliveries))
	page(postgres.Editor, "GET deliveries/retry", c.lookUp(c.retryManyPage))
	page(postgres.Editor, "POST deliveries/retry", c.retryMany)
	page(postgres.Viewer, "GET deliveries/{id}/{$}", c.lookUp(c.deliveryPage))
	page(postgres.Editor, "POST deliveries/{id}/retry", c.retryDelivery)
	page(postgres.Viewer, "GET events/{$}", c.lookUp(c.listEvents))
	page(postgres.Viewer, "GET event", c.lookUp(c.eventPage))
	page(postgres.Viewer, "GET event/explain", c.lookUp(c.explainPage))
	page(postgres.Viewer, "GET rejected/{$}", c.lookUp(c.listRejected))
}

// rooted puts the console's root between a pattern's method and path.
func rooted(pattern string) string {
	method, path, ok := strings.Cut(pattern, " ")
	if !ok {
		return pattern
	}
	return method + " " + Root + path
}
