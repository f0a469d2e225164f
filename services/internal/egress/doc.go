// Package egress sends requests to URLs that are not trusted. It is the only package of the repository that makes an
// http.Transport, so no request bypasses its guard.
//
// A target is checked twice. CheckURL and Prepare check the text of a URL before it is stored or used. The dialer
// checks the addresses that its name resolves to, refuses the name if any of them is forbidden, and connects to one
// of the checked addresses without resolving the name again. The package follows no redirects, uses no proxy from the
// environment, decompresses nothing, and bounds headers, bodies and durations.
//
// HTTP/1.1 requests use the package's own connections, which cost a third less than net/http's; net/http sends
// HTTP/2. http:// URLs use HTTP/1.1. For https:// URLs the TLS handshake of the first request, made for net/http,
// tells which protocol the receiver speaks. The receiver may switch to HTTP/2 later.
//
// The result of a request is always a Response; there is no separate error.
package egress
