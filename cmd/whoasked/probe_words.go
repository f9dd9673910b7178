package main

import (
	"crypto/tls"
	"errors"
	"net"
	"strings"

	"whoasked/capture/probe"
)

// failure says in which step a connection failed, and how.
func failure(a *probe.Attempt) string {
	if a.Err == nil {
		return ""
	}
	text := a.Err.Error()
	switch {
	case timedOut(a.Err):
		text = "no answer in time"
	case a.Stage == probe.StageDial:
		text = dialFailure(a.Err)
	case a.Stage == probe.StageHandshake:
		text = handshakeFailure(a, text)
	case a.Stage == probe.StageRequest && strings.Contains(text, "EOF"):
		text = "the server closed the connection"
	}
	return a.Stage.String() + ": " + text
}

// dialFailure leaves out the addresses, which the line has anyway.
func dialFailure(err error) string {
	var op *net.OpError
	if errors.As(err, &op) && op.Op == "dial" && op.Err != nil {
		return strings.TrimPrefix(op.Err.Error(), "connect: ")
	}
	return err.Error()
}

// handshakeFailure puts into words what the client libraries say of a handshake.
// They have no types for it.
func handshakeFailure(a *probe.Attempt, text string) string {
	alert, remote := strings.CutPrefix(text, "remote error: tls: ")
	switch {
	case alert == "protocol version not supported" && remote, strings.Contains(text, "server selected unsupported protocol version"):
		return "the server does not speak " + tls.VersionName(a.Version)
	case alert == "no application protocol" && remote:
		return "the server speaks no protocol that was offered (ALPN)"
	case remote:
		return "the server refuses (alert: " + alert + ")"
	case strings.Contains(text, "first record does not look like a TLS handshake"):
		return "the server does not speak TLS"
	case strings.HasSuffix(text, "EOF"):
		return "the server closed the connection"
	case strings.Contains(text, "connection reset by peer"):
		return "the server reset the connection"
	}
	return text
}
