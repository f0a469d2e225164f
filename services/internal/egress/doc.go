// Package egress sends requests to strangers' URLs. It is the only place of the repository that makes an
// http.Transport, so that nothing gets out past its guard.
//
// A target is judged twice: CheckURL and Prepare look at the text of a URL, before anything is stored or sent; the
// dialer looks at the addresses that its name resolves to, refuses the whole name if any of them is forbidden, and
// connects to an address that it has looked at, never to one resolved anew. Redirects are not followed, no proxy from
// the environment is used, nothing is decompressed, headers, bodies and durations are bounded.
//
// HTTP/1.1 is sent on connections of our own, which cost a third less than net/http's; HTTP/2 by net/http. http:// is
// HTTP/1.1. By https:// the TLS handshake of the first request, by net/http, tells what the receiver speaks, and a receiver
// may come to prefer HTTP/2 later.
//
// What became of a request is a value, Response, whatever happened: there is no separate error.
package egress
