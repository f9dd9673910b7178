//go:build !linux

package relay

import "time"

// loop is for systems with epoll; elsewhere goroutines carry connections.
type loop struct{}

func (r *Relay) openLoops()          {}
func (r *Relay) carry(*session) bool { return false }
func (r *Relay) opens(*Entry) bool   { return false }
func (*loop) shutDoors()             {}
func (*loop) stop()                  {}
func (*loop) post(func())            {}
func (*loop) sweep(time.Time)        {}
func (*loop) abortAll()              {}

// pipes is for systems that move bytes between sockets within the kernel.
type pipes struct{}

func (*pipes) close() {}
