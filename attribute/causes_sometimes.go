package attribute

import (
	"fmt"
	"slices"
	"strings"
)

// generalCauses are told by what was seen, whoever the endpoint is.
func generalCauses() []CauseRow {
	const general = "Any endpoint"
	return []CauseRow{
		{
			ID: "per-name", Group: general, Title: "The setting belongs to this host name",
			Who: "whoever ends TLS at that address", Whens: []When{InHandshake}, Strength: Shown,
			seen: func(s *suspect) (string, bool) {
				return fmt.Sprintf("%s was asked for in %d of %s, while %s at the same address was not",
					s.SNI, s.Asked, plural(s.Full, "full handshake"), names(s.clear)), s.SNI != "" && s.NotAsked == 0 && len(named(s.clear)) > 0
			},
			Because: "Servers and gateways choose their TLS settings by the server name that the client sends. Where one name is asked for and another at the same address is not, the setting is one of that name, not of the machine.",
			Fix:     []string{"At {name}, look at the listener, site or custom domain of {host}, not at the machine as a whole: turn its client certificate setting off, or move what needs certificates to another name."},
			Verify:  "whoasked probe --address {ip} {host}:{port}", Source: "RFC 6066 §3; nginx, http.sys, Envoy, Traefik and API Management choose by name",
		}, {
			ID: "by-path", Group: general, Title: "A path or policy asks, not the listener",
			Who: "whoever ends TLS at that address", Whens: []When{InRenegotiation, AfterHandshake}, Strength: Shown,
			seen: func(s *suspect) (string, bool) {
				n := s.Traits.Renegotiation + s.Traits.Later
				return fmt.Sprintf("asked behind the first handshake on %s, when a request was known", plural(n, "connection")), n > 0
			},
			Because: "An endpoint that asks once it has read a request does so by a rule about paths or a policy: renegotiation up to TLS 1.2, post-handshake authentication in TLS 1.3. HTTP/2 forbids both, and browsers do not do the latter.",
			Fix: []string{
				"At {name}, look for client certificates in the rules of paths of {host}: a location or directory, an exclusion path, a policy, an access rule.",
				"If a path needs certificates, give it a host name of its own that asks in the handshake.",
			},
			Verify: "Call the same path with TLS 1.2 and HTTP/1.1 on a fresh connection.", Source: "RFC 5246 §7.4.1.1, RFC 8446 §4.6.2, RFC 9113 §9.2.3",
		}, {
			ID: "no-sni", Group: general, Title: "Clients without a server name get the default site",
			Who: "whoever ends TLS at that address", Whens: []When{InHandshake}, Strength: Shown,
			seen: func(s *suspect) (string, bool) {
				return fmt.Sprintf("asked in %d of %s without a server name, while %s at the same address was not asked for",
					s.Asked, plural(s.Full, "full handshake"), names(s.clear)), s.Nameless() && len(named(s.clear)) > 0
			},
			Because: "Who sends no server name, such as a health probe, an old client or one that dials an address, gets the default site, whose settings differ.",
			Fix:     []string{"Have these clients send the name they want, or turn client certificates off for the default site of {name}."},
			Verify:  "whoasked probe --name \"\" {address}", Source: "RFC 6066 §3; nginx default_server, API Management defaultSslBinding",
		}, {
			ID: "unnamed-product", Group: general, Title: "Which product asks is not known", Fallback: true,
			Who: "whatever ends TLS at that address", Strength: Likely,
			seen: func(s *suspect) (string, bool) {
				return s.often(), s.kind == "" && s.Manner.Inside == "" && s.Addr.Port() != 0
			},
			Because: "Every product has a setting of its own for it, and nothing that was seen tells the product.",
			Fix: []string{
				"At {name}, look for what requests client certificates in the settings of the listener, site, SSL profile or host name of {host}, and turn it off; whoasked explain lists where products have it.",
				"Or say what stands there, by a kind in hops: or with whoasked hops import, and its setting is named here.",
			},
			Verify: "whoasked probe --address {ip} {host}:{port}", Source: "follows from the table: no row for a product fits",
		},
	}
}

func named(list []*Asker) []*Asker {
	return slices.DeleteFunc(slices.Clone(list), func(a *Asker) bool { return a.SNI == "" })
}

// apart is how many full handshakes there have to be on each side of a change
// before it is one.
const apart = 3

// sometimesCauses are why a request comes and goes.
func sometimesCauses() []CauseRow {
	const sometimes = "Why only sometimes"
	return []CauseRow{
		{
			ID: "resumption", Group: sometimes, Harmless: true, Title: "Resumed sessions hide it",
			Who: "the same endpoint", Strength: Shown,
			seen: func(s *suspect) (string, bool) {
				return fmt.Sprintf("%s hid it beside %s that were asked", plural(s.Resumed, "resumed session"), plural(s.Asked, "full handshake")), s.Resumed > 0
			},
			Because: "A resumed session (ticket, session ID or PSK) has no place for a request. A person who pressed Cancel and loads the page again is not asked, until the session is forgotten.",
			Fix:     []string{"Nothing is to be changed for it; do not take a quiet page for a fix."},
			Verify:  "Close the browser completely, or probe, which tries fresh connections: whoasked probe --address {ip} {host}:{port}", Source: "RFC 8446 §4.3.2, RFC 5246 §7.3",
		}, {
			ID: "cached-choice", Group: sometimes, Harmless: true, Title: "The browser answers by itself",
			Who: "the same endpoint", Strength: Shown,
			seen: func(s *suspect) (string, bool) {
				quick := s.Traits.Unshown
				if s.Prompts == 0 {
					return fmt.Sprintf("a browser answered too fast for a person %s", plural(quick, "time")), quick > 0
				}
				quick += s.Traits.Straight
				return fmt.Sprintf("a browser showed its dialog %s, and answered too fast for a person %s", plural(s.Prompts, "time"), plural(quick, "time")), quick > 0
			},
			Because: "Browsers remember a choice, also that of no certificate, until they are closed; and if no certificate in the store fits, there is no dialog either. So the same request shows to some people, sometimes.",
			Fix:     []string{"Nothing is to be changed for it: it is the request that has to go, not the dialog."},
			Verify:  "Close the browser completely before you look again.", Source: "Chromium: ssl_client_auth_cache.h; Firefox: TLSClientAuthCertSelection.cpp; measured",
		}, {
			ID: "rollout", Group: sometimes, Title: "A change was being rolled out",
			Who: "the same endpoint", Strength: Likely,
			seen: func(s *suspect) (string, bool) {
				t := &s.Traits
				if s.Asked < apart || s.NotAsked < apart {
					return "", false
				}
				switch {
				case t.LastAsked.Before(t.FirstClear):
					return fmt.Sprintf("asked %d times up to %s UTC, and not in the %s from %s on", s.Asked,
						t.LastAsked.UTC().Format("15:04:05"), plural(s.NotAsked, "full handshake"), t.FirstClear.UTC().Format("15:04:05")), true
				case t.LastClear.Before(t.FirstAsked):
					return fmt.Sprintf("not asked in %s up to %s UTC, and %d times from %s on", plural(s.NotAsked, "full handshake"),
						t.LastClear.UTC().Format("15:04:05"), s.Asked, t.FirstAsked.UTC().Format("15:04:05")), true
				}
				return "", false
			},
			Because: "Settings take time to reach every machine: 15 to 45 minutes in API Management, and longer at an edge of many sites.",
			Fix:     []string{"Find out what was changed on {name} at that time."},
			Verify:  "Ask until all answers are alike for a while: whoasked probe --watch 30s --address {ip} {host}:{port}", Source: "azure-docs: API Management, protocols and ciphers; using with internal VNet",
		}, {
			ID: "uneven-pool", Group: sometimes, Title: "Several machines answer at this address, and differ",
			Who: "some machines of a pool", Strength: Guess, Whens: []When{InHandshake},
			seen: func(s *suspect) (string, bool) {
				t := &s.Traits
				mixed := t.FirstAsked.Before(t.LastClear) && t.FirstClear.Before(t.LastAsked)
				oneVersion := t.Asked12+t.Clear12 == 0 || t.Asked13+t.Clear13 == 0
				text := fmt.Sprintf("asked in %d and not asked in %d full handshakes, mixed in time", s.Asked, s.NotAsked)
				if sign := s.severalMachines(); sign != "" {
					text += "; " + sign
				}
				return text,
					s.Asked >= apart && s.NotAsked >= apart && mixed && oneVersion && !differ(t)
			},
			Because: "Behind one address there may be a pool: units of API Management, edge sites, a farm. A machine that missed a change goes on asking.",
			Fix:     []string{"Compare the settings of {host} on every machine behind {address}, and restart or redeploy those that differ."},
			Verify:  "whoasked probe --repeat 50 --address {ip} {host}:{port}", Source: "azure-docs: API Management, using with internal VNet (several machines behind one address)",
		}, {
			ID: "uneven-addresses", Group: sometimes, Title: "Of several addresses of the name, only some ask",
			Who: "the machines at these addresses", Strength: Shown,
			seen: func(s *suspect) (string, bool) {
				if len(s.clearElsewhere) == 0 || s.SNI == "" {
					return "", false
				}
				other := s.clearElsewhere[0]
				return fmt.Sprintf("%s at %s was not asked for in %s", s.SNI, other.Addr, plural(other.NotAsked, "full handshake")), true
			},
			Because: "A name may have several addresses, by DNS, by IPv4 and IPv6, or one view inside and another outside; which of them a client takes, changes.",
			Fix:     []string{"Compare the endpoint at {address} with the others of {host}, and give them the same settings."},
			Verify:  "Probe every address of the name: whoasked probe {host}:{port}", Source: "measured in the laboratory",
		}, {
			ID: "tls12-only", Group: sometimes, Title: "Only TLS 1.2 is asked",
			Who: "the same endpoint", Strength: Shown,
			seen: func(s *suspect) (string, bool) {
				t := &s.Traits
				return fmt.Sprintf("asked in %d of %d full handshakes of TLS 1.2, in none of %d of TLS 1.3", t.Asked12, t.Asked12+t.Clear12, t.Clear13),
					t.Asked12 >= apart && t.Asked13 == 0 && t.Clear13 >= apart
			},
			Because: "A rule about paths renegotiates, which TLS 1.3 does not have; so the version that a client speaks decides whether it is asked. Some products also refuse their on-demand request with TLS 1.3.",
			Fix:     []string{"Look for a rule or policy of {host} that wants certificates for some requests, and remove it; forbidding a version only moves the fault."},
			Verify:  "whoasked probe --address {ip} {host}:{port}", Source: "RFC 8446 §4.1.2 (no renegotiation); Microsoft and Citrix documentation",
		}, {
			ID: "inspection-bypass", Group: sometimes, Title: "TLS inspection is bypassed for some",
			Who: "the real server, where its TLS is not inspected", Strength: Likely,
			seen: func(s *suspect) (string, bool) {
				t := &s.Traits
				if !differ(t) {
					return "", false
				}
				return fmt.Sprintf("asked under a certificate of %s, not asked under one of %s", t.AskedIssuers[0], t.ClearIssuers[0]), true
			},
			Because: "An inspecting proxy is asked in the person's place, who then sees nothing. Where inspection is bypassed, the request reaches the browser. A change of the bypass list looks like a prompt that comes and goes.",
			Fix:     []string{"Treat {host} alike for everybody on the inspecting proxy: inspected or bypassed. To get rid of the request, change the server behind it."},
			Verify:  "Compare the issuer of the certificate that each network sees: whoasked probe {host}:{port}", Source: "Zscaler and Palo Alto Networks documentation on mutual TLS; the effect is an inference",
		}, {
			ID: "h2-coalescing", Group: sometimes, Title: "HTTP/2 connections are shared between names",
			Who: "the same endpoint", Strength: Guess, Whens: []When{InHandshake},
			seen: func(s *suspect) (string, bool) {
				for _, o := range s.clear {
					if s.SNI != "" && o.Traits.H2 > 0 && covers(o.Traits.Names, s.SNI) {
						return fmt.Sprintf("the certificate shown for %s, which was not asked for, is good for %s, too, and HTTP/2 was chosen", o.SNI, s.SNI), true
					}
				}
				return "", false
			},
			Because: "Where a certificate covers several names at one address, a browser sends requests for all of them on one HTTP/2 connection: then there is no handshake, and no request, under the other name. Some servers answer 421 and are then asked anew.",
			Fix:     []string{"Give {host} a certificate of its own, or an address of its own, so that connections are not shared."},
			Verify:  "Look for HTTP status 421 in the log of {name}; open {host} first in a new browser session.", Source: "RFC 9113 §9.1.1; nginx source",
		}, {
			ID: "subresource", Group: sometimes, Title: "Another host than the page's asks",
			Who: "a host that a page refers to", Strength: Guess,
			seen: func(s *suspect) (string, bool) {
				t := &s.Traits
				return fmt.Sprintf("%s came within %v of a visit of the same browser to %s", plural(t.Aside, "dialog"), aside, strings.Join(t.Pages, " or ")), t.Aside > 0 && len(t.Pages) > 0
			},
			Because: "An image, script, frame, fetch or the icon of a page on another host raises the dialog over the page; the dialog names that host. Cross-origin calls without credentials are not asked, those with are.",
			Fix: []string{
				"Look at which host the dialog names: {host}. Find what of the page points there, in the developer tools under Network.",
				"Take it from a host that does not ask, or turn the request off on {host}.",
			},
			Verify: "Open the page in a new browser session.", Source: "measured with Chromium and Firefox",
		},
	}
}

// differ tells whether the issuers seen where asked and where not have nothing
// in common, and both are known.
func differ(t *Traits) bool {
	if len(t.AskedIssuers) == 0 || len(t.ClearIssuers) == 0 {
		return false
	}
	return !slices.ContainsFunc(t.AskedIssuers, func(i string) bool { return slices.Contains(t.ClearIssuers, i) })
}

// covers tells whether a certificate with these names is good for a host (RFC
// 9525 §6.3: a wildcard stands for one label).
func covers(names []string, host string) bool {
	_, parent, _ := strings.Cut(host, ".")
	return slices.ContainsFunc(names, func(n string) bool {
		return strings.EqualFold(n, host) || parent != "" && strings.EqualFold(n, "*."+parent)
	})
}
