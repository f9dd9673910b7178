package live

import (
	"fmt"
	"net"
	"slices"
	"strings"
)

// linkOf looks an interface up.
func linkOf(name string) (link, error) {
	if name == Any {
		return link{name: name}, nil
	}
	i, err := net.InterfaceByName(name)
	if err == nil {
		return link{index: i.Index, name: i.Name, mtu: i.MTU, up: i.Flags&net.FlagUp != 0}, nil
	}
	var names []string
	all, _ := net.Interfaces() // none if it fails
	for _, i := range all {
		names = append(names, i.Name)
	}
	slices.Sort(names)
	return link{}, &NoInterfaceError{Name: name, There: names}
}

// NoInterfaceError says that an interface does not exist, and which do.
type NoInterfaceError struct {
	Name  string
	There []string
}

func (e *NoInterfaceError) Error() string { return "there is no interface " + e.Name }

// Hint says what to do.
func (e *NoInterfaceError) Hint() string {
	return "there are: " + strings.Join(append(e.There, Any), ", ")
}

// changed takes note of a change of an interface.
func (s *Source) changed(told link) {
	l := &told
	for _, r := range s.rings {
		switch {
		case r.index == 0: // any
		case l.index == r.index && l.gone:
			s.opts.Log("interface", r.name+" is gone; it is captured again once it is back")
			r.index = -1
		case l.index == r.index:
			s.described(r, l)
		case r.index < 0 && l.name == r.name && !l.gone:
			if err := r.rebind(l.index, s.opts.Promiscuous); err != nil {
				r.index = -1
				s.opts.Log("interface", r.name+" is back, but cannot be captured: "+err.Error())
				continue
			}
			s.opts.Log("interface", r.name+" is back")
			s.described(r, l)
		}
	}
}

// described compares an interface with what was known of it.
func (s *Source) described(r *ring, l *link) {
	if l.name != "" && l.name != r.name {
		s.opts.Log("interface", r.name+" is now called "+l.name)
		r.name = l.name
	}
	if r.state.index == l.index {
		if was := r.state; was.up != l.up {
			word := map[bool]string{true: " is up", false: " is down"}
			s.opts.Log("interface", r.name+word[l.up])
		} else if was.mtu != l.mtu && l.mtu != 0 && was.mtu != 0 {
			s.opts.Log("interface", fmt.Sprintf("%s has an MTU of %d bytes now, %d before", r.name, l.mtu, was.mtu))
		}
	}
	r.state = *l
}
