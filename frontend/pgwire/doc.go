// Package pgwire speaks the PostgreSQL wire protocol, version 3: bytes ↔ messages ↔ a session.
//
// The idea: a connection is a small state machine around one Session. It reads a message, calls the
// session, and appends the answer to an output buffer that is written when the client is waited for.
// Messages that occur once per connection go through pgproto3; those of the hot path (Bind, Execute, data
// rows) are decoded in place and written by hand, so that a row costs no allocation and a malformed message
// is told apart byte by byte as PostgreSQL does.
//
// Each connection is served by one goroutine, which alone touches its session, buffers, statements and
// portals. Others touch only conn.mu (cancel requests, shutdown, the watch for vanished clients) and the
// registry of connections in server. Lock order: server.mu before conn.mu.
//
// Invariants: every error leaves as one ErrorResponse made here; after an error in the extended protocol
// nothing is executed until Sync; the implicit transaction of a script or of the messages between two Syncs
// is ended before the ReadyForQuery that follows them; a panic ends its own connection and no other; the output buffer never holds half a message.
//
// It does not parse SQL, know settings or decide about transactions: that is the Session's. Values are
// converted by internal/sqlio. Start at Serve, then conn.serve.
package pgwire
