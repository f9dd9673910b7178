package relay

import (
	"context"
	"errors"
	"net/netip"
	"time"
)

// attemptDelay is how long an attempt may take before the next address is tried
// beside it (RFC 8305 §5).
const attemptDelay = 250 * time.Millisecond

// maxAttempts bounds the addresses of a name that are tried.
const maxAttempts = 8

// interleave puts addresses of both families in turn, keeping their order, IPv6
// first (RFC 8305 §4).
func interleave(addrs []netip.Addr) []netip.Addr {
	var families [2][]netip.Addr
	for _, a := range addrs {
		f := 0
		if a.Unmap().Is4() {
			f = 1
		}
		families[f] = append(families[f], a)
	}
	var out []netip.Addr
	for i := 0; len(out) < len(addrs); i++ {
		for _, f := range families {
			if i < len(f) {
				out = append(out, f[i])
			}
		}
	}
	return out[:min(len(out), maxAttempts)]
}

// race tries addresses one after the other, each as soon as the one before has
// failed or taken long, and returns the first connection made.
func race(ctx context.Context, addrs []netip.Addr, dial func(context.Context, netip.Addr) (upstream, error)) (upstream, error) {
	switch len(addrs) {
	case 0:
		return upstream{}, errors.New("the name has no addresses")
	case 1:
		return dial(ctx, addrs[0])
	}
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	type outcome struct {
		up  upstream
		err error
	}
	outcomes := make(chan outcome)
	next := time.NewTimer(0)
	defer next.Stop()
	var firstErr error
	for running, tried := 0, 0; ; {
		select {
		case <-next.C:
			if tried < len(addrs) {
				a := addrs[tried]
				tried++
				running++
				go func() {
					up, err := dial(ctx, a)
					outcomes <- outcome{up, err}
				}()
				next.Reset(attemptDelay)
			}
			continue
		case o := <-outcomes:
			running--
			if o.err == nil {
				cancel()
				go func() { // the others are called off, but one may have made it
					for range running {
						if late := <-outcomes; late.err == nil {
							_ = late.up.Close()
						}
					}
				}()
				return o.up, nil
			}
			if firstErr == nil {
				firstErr = o.err
			}
			next.Reset(0)
		}
		if running == 0 && tried == len(addrs) {
			return upstream{}, firstErr
		}
	}
}
