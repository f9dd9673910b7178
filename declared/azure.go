package declared

import (
	"errors"
	"net/netip"
	"path"
	"slices"
	"strings"

	"whoasked/attribute"
)

// azure reads one resource, a list of them, or the list in an answer of the
// resource manager.
func (r *reader) azure(data []byte) error {
	told := make(map[string]bool)
	root, err := parseJSON(data, func(path, want string) {
		r.odd++
		if place := r.name + ": " + path; !told[place+want] {
			told[place+want] = true
			r.note(place, "is no %s; taken for missing", want)
		}
	})
	if err != nil {
		return err
	}
	resources := []node{root}
	if _, list := root.v.([]any); list {
		resources = root.items()
	} else if list := root.get("value").items(); len(list) > 0 {
		resources = list
	}
	known := 0
	for _, n := range resources {
		switch {
		case n.get("hostnameConfigurations").there(), strings.EqualFold(n.get("type").text(), "Microsoft.ApiManagement/service"):
			r.export.Kind = "Azure API Management"
			r.apim(n)
		case n.get("httpListeners").there(), strings.EqualFold(n.get("type").text(), "Microsoft.Network/applicationGateways"):
			r.export.Kind = "Azure Application Gateway"
			r.appgw(n)
		default:
			continue
		}
		known++
	}
	if known == 0 {
		return errors.New("JSON, but neither of API Management nor of Application Gateway: no hostnameConfigurations and no httpListeners in it")
	}
	return nil
}

// place says where a node stands.
func (r *reader) place(n node) string {
	if n.path == "" {
		return r.name
	}
	return r.name + ": " + n.path
}

// resourceName is the name of a resource.
func (r *reader) resourceName(n node, otherwise string) string {
	name := n.get("name").text()
	if name == "" {
		r.note(r.place(n), "no name; it is called %s", otherwise)
		return otherwise
	}
	return name
}

// addresses reads lists of addresses.
func (r *reader) addresses(lists ...node) []netip.Addr {
	var out []netip.Addr
	for _, list := range lists {
		for _, item := range list.items() {
			a, err := netip.ParseAddr(item.text())
			if err != nil || a.Zone() != "" {
				r.note(r.place(item), "%.80q is not an address", item.text())
				continue
			}
			if a = a.Unmap(); !slices.Contains(out, a) {
				out = append(out, a)
			}
		}
	}
	return out
}

// apim reads an ApiManagementServiceResource. In a virtual network of type Internal
// the gateway answers at the private addresses only, else at the public ones.
func (r *reader) apim(n node) {
	hop, key, kind := r.resourceName(n, "apim"), "publicIPAddresses", "apim"
	if strings.EqualFold(n.get("virtualNetworkType").text(), "Internal") {
		key = "privateIPAddresses"
	}
	lists := []node{n.get(key)}
	for _, place := range n.get("additionalLocations").items() {
		lists = append(lists, place.get(key))
	}
	addrs := r.addresses(lists...)
	if len(addrs) == 0 {
		r.note(r.place(n), "no %s: %s is told by its host names only", key, hop)
	}
	// The tier without machines of its own has one switch for all names.
	all, odd := attribute.NotDeclared, r.odd
	if strings.EqualFold(n.get("sku").get("name").text(), "Consumption") {
		kind, all = "apim-consumption", attribute.DeclaredOff
		if on, _ := n.get("enableClientCertificate").flag(); on {
			all = attribute.DeclaredRequired
		}
	}
	untold := r.odd > odd
	if untold {
		all = attribute.NotDeclared
	}
	names := n.get("hostnameConfigurations")
	if len(names.items()) == 0 {
		r.note(r.place(names), "missing or empty: nothing is declared of %s", hop)
	}
	fallback := false
	for _, c := range names.items() {
		l := listener{hop: hop, kind: kind, port: 443, addrs: addrs, declared: r.negotiates(c), from: r.name + ": hostnameConfigurations of " + hop}
		if all != attribute.NotDeclared || untold {
			l.declared = all
		}
		if l.fallback, _ = c.get("defaultSslBinding").flag(); l.fallback {
			fallback = true
		}
		if !c.get("hostName").there() {
			r.note(r.place(c), "no hostName; it is left out")
			continue
		}
		name, ok := r.hostname(r.place(c.get("hostName")), c.get("hostName").text())
		if ok {
			l.names = []attribute.Hostname{name}
		}
		l.others = !ok
		r.listeners = append(r.listeners, l)
	}
	if !fallback && len(names.items()) > 0 {
		r.note(r.place(names), "none has defaultSslBinding: what clients without a server name get is not declared")
	}
}

// negotiates reads what a host name does in the handshake. It asks, and leaves it
// to policies to insist.
func (r *reader) negotiates(c node) attribute.Declared {
	odd := r.odd
	on, known := c.get("negotiateClientCertificate").flag()
	switch {
	case r.odd > odd:
		return attribute.NotDeclared
	case on:
		return attribute.DeclaredOptional
	case !known:
		r.note(r.place(c), "no negotiateClientCertificate; taken for its default, false")
	}
	return attribute.DeclaredOff
}

// appgw reads an ApplicationGateway: its listeners, with the addresses, ports and
// SSL profiles that they refer to.
func (r *reader) appgw(n node) {
	hop := r.resourceName(n, "appgw")
	listeners := append(n.get("httpListeners").items(), n.get("listeners").items()...)
	if len(listeners) == 0 {
		r.note(r.place(n.get("httpListeners")), "missing or empty: nothing is declared of %s", hop)
	}
	for _, c := range listeners {
		l := listener{hop: hop, kind: "appgw", from: r.name + ": listeners of " + hop}
		switch strings.ToLower(c.get("protocol").text()) {
		case "http":
			continue // no TLS
		case "tcp":
			l.declared, l.kind = attribute.DeclaredPassthrough, "lb"
		case "https", "tls":
			l.declared = r.profile(n, c)
		default:
			r.note(r.place(c), "no protocol that is known; it is left out")
			continue
		}
		port := r.refer(n.get("frontendPorts"), c.get("frontendPort")).get("port").number()
		if port < 1 || port > 65535 {
			r.note(r.place(c), "no frontendPort that is in frontendPorts; taken for 443")
			port = 443
		}
		l.port = uint16(port)
		if l.addrs = r.frontend(n, c); len(l.addrs) == 0 && len(r.machine) > 0 {
			l.addrs = r.machine
		}
		named := append(c.get("hostNames").items(), c.get("hostName"))
		for _, h := range named {
			odd := r.odd
			if h.text() == "" {
				l.others = l.others || r.odd > odd
				continue
			}
			name, ok := r.hostname(r.place(h), h.text())
			if ok && !slices.Contains(l.names, name) {
				l.names = append(l.names, name)
			}
			l.others = l.others || !ok
		}
		// A basic listener takes every name. What clients get that fit none of
		// several multi-site listeners is not documented, and not declared here.
		l.fallback = len(l.names) == 0 && !l.others
		r.listeners = append(r.listeners, l)
	}
}

// profile reads whether a listener's SSL profile asks.
func (r *reader) profile(n, c node) attribute.Declared {
	if !c.get("sslProfile").there() {
		return attribute.DeclaredOff
	}
	p := r.refer(n.get("sslProfiles"), c.get("sslProfile"))
	if !p.there() {
		r.note(r.place(c), "its sslProfile is not in sslProfiles; whether it asks is not told")
		return attribute.NotDeclared
	}
	odd := r.odd
	mode, trusted := p.get("clientAuthConfiguration").get("verifyClientAuthMode").text(), p.get("trustedClientCertificates").items()
	switch {
	case r.odd > odd:
		return attribute.NotDeclared
	case strings.EqualFold(mode, "Passthrough"):
		return attribute.DeclaredOptional
	case len(trusted) > 0:
		return attribute.DeclaredRequired
	case mode != "" && !strings.EqualFold(mode, "Strict"):
		r.note(r.place(p), "verifyClientAuthMode %.40q is not known; whether it asks is not told", mode)
		return attribute.NotDeclared
	}
	return attribute.DeclaredOff // a profile for protocols and cipher suites only
}

// frontend reads the address of a listener. A public one is a resource of its own.
func (r *reader) frontend(n, c node) []netip.Addr {
	f := r.refer(n.get("frontendIPConfigurations"), c.get("frontendIPConfiguration"))
	public := f.get("publicIPAddress")
	for _, a := range []node{f.get("privateIPAddress"), public.get("ipAddress")} {
		if a.there() {
			return r.addresses(node{a.path, []any{a.v}, a.odd})
		}
	}
	switch {
	case len(r.machine) > 0:
	case public.there():
		r.note(r.place(f), "its public address is not in the export; give it with --address (az network public-ip show --query ipAddress)")
	default:
		r.note(r.place(c), "no frontendIPConfiguration with an address")
	}
	return nil
}

// refer finds what a reference {"id": …} means, by the whole id, else by the name at
// its end.
func (r *reader) refer(list, ref node) node {
	id := ref.get("id").text()
	if id == "" {
		return node{ref.path, nil, ref.odd}
	}
	for _, item := range list.items() {
		if strings.EqualFold(item.get("id").text(), id) {
			return item
		}
	}
	for _, item := range list.items() {
		if name := item.get("name").text(); name != "" && strings.EqualFold(name, path.Base(id)) {
			return item
		}
	}
	return node{ref.path, nil, ref.odd}
}
