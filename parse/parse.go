// Package parse turns the bytes of one connection into facts: TLS records,
// handshake messages, alerts, and what came before TLS.
//
// Bytes are pushed in with [Conn.Feed], in any split, and facts come out as
// [Event] values, folded into one [Handshake] per connection. The package
// performs no I/O, starts no goroutine and reads no clock; time comes with the
// bytes. It records what was on the wire and judges nothing: whether the facts
// amount to "a certificate was requested" is package attribute's business.
package parse
