package console

import (
	"net/http"
	"strings"
	"time"

	"github.com/whisperer-oms/whisperer/services/subscription-api/internal/usecase"
)

func (c *console) routes() *http.ServeMux {
	mux := http.NewServeMux()
	mux.Handle("GET "+Root+"static/{name}", c.assets)
	open := func(pattern string, h handler) { mux.Handle(rooted(pattern), c.serve(h)) }
	page := func(least usecase.Role, pattern string, h handler) {
		mux.Handle(rooted(pattern), c.serve(c.admit(least, h)))
	}

	open("GET sign-in", c.signInPage)
	open("POST sign-in", c.signIn)
	open("POST sign-out", c.signOut)
	open("POST theme", c.setTheme)
	page(usecase.Viewer, "GET tenants/{$}", c.listTenants)
	page(usecase.Viewer, "POST tenants/{$}", c.setTenant)
	page(usecase.Admin, "POST tenants/handshake", c.setHandshake)
	page(usecase.Viewer, "GET {$}", c.lookUp(c.overview))
	page(usecase.Viewer, "POST views/{$}", c.saveView)
	page(usecase.Viewer, "POST views/{id}/remove", c.removeView)
	c.hookRoutes(page)
	c.activityRoutes(page)
	slow := func(limit time.Duration, least usecase.Role, pattern string, h handler) {
		mux.Handle(rooted(pattern), c.serveWithin(limit+pageTimeout, c.admit(least, h)))
	}
	slow(usecase.HandshakeTimeout, usecase.Editor, "POST hooks/{$}", c.createHook)
	slow(usecase.HandshakeTimeout, usecase.Editor, "POST hooks/{id}/{$}", c.changeHook)
	slow(usecase.TestTimeout, usecase.Editor, "POST hooks/{id}/test", c.testHook)
	slow(usecase.TestTimeout, usecase.Editor, "POST hooks/test", c.testForm)
	slow(usecase.TestTimeout, usecase.Admin, "POST deliveries/{id}/replay", c.replayElsewhere)
	slow(usecase.BacktestTimeout, usecase.Editor, "POST hooks/backtest", c.lookUp(c.backtest))
	slow(usecase.ReplayTimeout, usecase.Viewer, "GET hooks/{id}/replay", c.lookUp(c.replayPage))
	slow(usecase.ReplayTimeout, usecase.Editor, "POST hooks/{id}/replay", c.lookUp(c.replayHook))
	slow(usecase.ReplayTimeout, usecase.Editor, "POST hooks/replay", c.lookUp(c.replayHooks))
	slow(usecase.SearchTimeout, usecase.Viewer, "GET deliveries/{$}", c.lookUp(c.listDeliveries))
	slow(usecase.SearchTimeout, usecase.Viewer, "GET events/{$}", c.lookUp(c.listEvents))
	slow(usecase.SearchTimeout, usecase.Viewer, "GET search", c.lookUp(c.search))
	slow(usecase.PutBackTime, usecase.Admin, "POST set-aside/{$}", c.putBack)
	slow(exportTimeout, usecase.Viewer, "GET deliveries/export", c.exportDeliveries)
	slow(exportTimeout, usecase.Viewer, "GET deliveries/attempts", c.exportAttempts)
	slow(exportTimeout, usecase.Admin, "GET audit/export", c.exportAudit)

	page(usecase.Viewer, "GET types/{$}", c.listTypes)
	page(usecase.Viewer, "GET types/{name}", c.typePage)
	page(usecase.Viewer, "GET signing-keys/{$}", c.listSigningKeys)
	page(usecase.Admin, "POST signing-keys/rotate", c.rotateSigningKeys)
	page(usecase.Admin, "GET tokens/{$}", c.listTokens)
	page(usecase.Admin, "POST tokens/{$}", c.createToken)
	page(usecase.Admin, "POST tokens/{id}/revoke", c.revokeToken)
	page(usecase.Admin, "GET audit/{$}", c.listAudit)
	slow(usecase.EraseTimeout, usecase.Admin, "POST erasures/{$}", c.lookUp(c.erase))
	c.erasureRoutes(page)
	page(usecase.Viewer, "GET system/{$}", c.systemPage)
	page(usecase.Viewer, "GET set-aside/{$}", c.listAside)
	page(usecase.Viewer, Root, c.notFound)
	return mux
}

// hookRoutes are the pages of Settings, Webhooks.
func (c *console) hookRoutes(page func(usecase.Role, string, handler)) {
	page(usecase.Viewer, "GET hooks/{$}", c.lookUp(c.listHooks))
	page(usecase.Editor, "POST hooks/status", c.setStatuses)
	page(usecase.Editor, "GET hooks/new", c.newHookPage)
	page(usecase.Editor, "POST hooks/check", c.checkHook)
	page(usecase.Viewer, "GET hooks/{id}/{$}", c.lookUp(c.hookPage))
	page(usecase.Editor, "GET hooks/{id}/edit", c.editHookPage)
	page(usecase.Editor, "POST hooks/{id}/status", c.setStatus)
	page(usecase.Editor, "POST hooks/{id}/rotate", c.rotateSecret)
	page(usecase.Editor, "GET hooks/{id}/delete", c.deleteHookPage)
	page(usecase.Editor, "POST hooks/{id}/delete", c.deleteHook)
	page(usecase.Editor, "POST hooks/{id}/undelete", c.undeleteHook)
	page(usecase.Viewer, "GET hooks/{id}/integrate", c.integratePage)
	page(usecase.Viewer, "GET hooks/{id}/changes", c.hookChanges)
	page(usecase.Editor, "GET hooks/{id}/test", c.testPage)
	page(usecase.Viewer, "GET jobs/{id}/{$}", c.lookUp(c.jobPage))
	page(usecase.Editor, "POST jobs/{id}/{$}", c.changeJob)
}

// activityRoutes are the pages of deliveries and events.
func (c *console) activityRoutes(page func(usecase.Role, string, handler)) {
	page(usecase.Editor, "GET deliveries/retry", c.lookUp(c.retryManyPage))
	page(usecase.Editor, "POST deliveries/retry", c.retryMany)
	page(usecase.Viewer, "GET deliveries/hooks", c.lookUp(c.hookNames))
	page(usecase.Viewer, "GET deliveries/{id}/{$}", c.lookUp(c.deliveryPage))
	page(usecase.Editor, "POST deliveries/{id}/retry", c.lookUp(c.retryDelivery))
	page(usecase.Admin, "GET deliveries/{id}/replay", c.lookUp(c.elsewherePage))
	page(usecase.Viewer, "GET event", c.lookUp(c.eventPage))
	page(usecase.Viewer, "GET event/explain", c.lookUp(c.explainPage))
	page(usecase.Viewer, "GET rejected/{$}", c.lookUp(c.listRejected))
}

// erasureRoutes are the pages about erasure, on request and by retention.
func (c *console) erasureRoutes(page func(usecase.Role, string, handler)) {
	page(usecase.Admin, "GET erasures/{$}", c.listErasures)
	page(usecase.Admin, "GET erasures/{id}/{$}", c.erasurePage)
	page(usecase.Admin, "POST erasures/{id}/cancel", c.cancelErasure)
	page(usecase.Admin, "GET erasures/{id}/certificate", c.erasureCertificate)
	page(usecase.Admin, "GET retention/{$}", c.listRetention)
	page(usecase.Admin, "POST retention/{$}", c.setRetention)
	page(usecase.Admin, "POST retention/remove", c.removeRetention)
}

// rooted inserts the console's root between a pattern's method and path.
func rooted(pattern string) string {
	method, path, ok := strings.Cut(pattern, " ")
	if !ok {
		return pattern
	}
	return method + " " + Root + path
}
