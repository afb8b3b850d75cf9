// Package tenancyhttp serves HTTP APIs to the tenants they belong to. [Server] knows who
// asks, resolves the tenant that the path names, and lets a request through only when
// both agree; [API] are the routes of companies, workspaces and domains.
//
//	server, err := tenancyhttp.NewServer(resolver, principal, &tenancyhttp.Config{Prefix: "/api"})
//	if err != nil { ... }
//	http.Handle("/", server.Handler(tenancyhttp.New(store), audithttp.New(recorder)))
//
// # Idempotency-Key
//
// A POST may carry the header Idempotency-Key: 1 to 255 visible ASCII characters, taken as
// they are. For 24 hours after the answer a repeat with the same key does nothing and gets
// that answer, with Idempotency-Replayed: true. A key belongs to one principal, company,
// method and path. Who may not make the request does not see the answer either: principal,
// tenant and permission are checked first, each time.
//
//   - The first answer stands, whether success or error, so that a request that failed
//     validation needs a new key to be tried again. Not kept are answers that say "not
//     now" or "something broke": 408, 423, 425, 429 and 5xx. After them the same key tries
//     again.
//   - Another query or body with the same key: 422, code idempotency_key_reused.
//   - While the first request runs: 409, code idempotency_in_progress, with Retry-After.
//   - The first request itself, once a repeat has taken its place because it took too long:
//     409, code idempotency_claim_lost. Nothing was changed by it.
//   - When the first request has committed something and its answer is not known: 409,
//     code idempotency_answer_lost, for 24 hours. Look what is there. The same goes for an
//     answer of more than 1 MiB.
//
// A request with a key runs to its end, or to Config.Timeout, also when the client goes
// away. When its process is killed before it has committed, a repeat does the work as soon
// as the claim's lease has ended: Config.Timeout (15 minutes without one) and 30 seconds
// after the request began. When it is killed afterwards, the answer is lost. So what is
// written through [tenancy.DB.InTx] is never written twice: each transaction of the request
// notes in itself that it committed, and cannot commit once a repeat has taken the claim.
// What a handler of yours does elsewhere, such as sending mail, has no such protection.
//
// A POST that only reads, one that is not held to the time limit and one without a
// principal ignore the header. Everything is kept in PostgreSQL, in the table
// idempotency_keys; [SweepIdempotencyKeys] deletes what expired.
//
// Sources: draft-ietf-httpapi-idempotency-key-header; Stripe's API reference, "Idempotent
// requests". Unlike Stripe's first API, an error of the server is not replayed.
package tenancyhttp
