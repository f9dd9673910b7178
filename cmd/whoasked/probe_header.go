package main

import (
	"errors"
	"fmt"
	"net/netip"

	"whoasked/capture/probe"
)

// proxyHeader is what --send-proxy and its kin ask for.
func (f *probeFlags) proxyHeader() (probe.Header, error) {
	var h probe.Header
	switch f.header {
	case "":
		if f.headerSource+f.headerTo != "" {
			return h, withHint(errors.New("--send-proxy-source and --send-proxy-target need --send-proxy"), "--send-proxy v1 or v2 sends the header")
		}
		return h, nil
	case "v1":
		h.Version = 1
	case "v2":
		h.Version = 2
	default:
		return h, fmt.Errorf("--send-proxy %s is neither v1 nor v2", f.header)
	}
	for _, a := range []struct {
		flag, text string
		to         *netip.AddrPort
	}{{"--send-proxy-source", f.headerSource, &h.Source}, {"--send-proxy-target", f.headerTo, &h.Target}} {
		if a.text == "" {
			continue
		}
		ap, err := netip.ParseAddrPort(a.text)
		if err != nil {
			return h, fmt.Errorf("%s %s is no ADDRESS:PORT", a.flag, a.text)
		}
		*a.to = ap
	}
	return h, nil
}
