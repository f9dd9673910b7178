package attribute

import "slices"

// place is a leg on a path, by index, in front of which nobody ends TLS.
type place struct{ path, hop int }

// Dialogs tells each dialog once, and of whom. Behind a hop that passes TLS
// through a dialog is seen as one of that hop's address, and in front of the hop
// as asked for by it: where both were captured, the asker is the inner one and
// the client the outer one. Dialogs left out are taken from the counts of askers.
func (j *Joined) Dialogs(prompts []Prompt, askers []Asker) []Prompt {
	at := make(map[uint64]place)
	for i := range j.Paths {
		if j.Paths[i].Doubt != "" {
			continue
		}
		for k := range j.Paths[i].Hops {
			h := &j.Paths[i].Hops[k]
			at[h.Connection] = place{i, k}
			if !h.Passes {
				break
			}
		}
	}
	ends := make([][]int, len(prompts)) // the paths of those at the end of TLS
	for i := range prompts {
		ends[i] = j.asEnd(&prompts[i], at)
	}
	var out []Prompt
	for i := range prompts {
		if ends[i] == nil && j.again(&prompts[i], at, prompts, ends) {
			forget(askers, &prompts[i])
			continue
		}
		out = append(out, prompts[i])
	}
	return out
}

// asEnd lists the paths of a dialog's connections, if the asker ends TLS on all
// of them and they come from one client, which it then names as that of the
// dialog; else nil.
func (j *Joined) asEnd(p *Prompt, at map[uint64]place) []int {
	var paths []int
	for _, id := range p.Connections {
		where, known := at[id]
		if !known || j.Paths[where.path].Hops[where.hop].Passes ||
			len(paths) > 0 && j.Paths[where.path].Client.Addr() != j.Paths[paths[0]].Client.Addr() {
			return nil
		}
		paths = append(paths, where.path)
	}
	if len(paths) > 0 {
		p.Client = j.Paths[paths[0]].Client.Addr()
	}
	return paths
}

// again reports whether another prompt is the same dialog, at the end of TLS.
func (j *Joined) again(p *Prompt, at map[uint64]place, prompts []Prompt, ends [][]int) bool {
	var paths []int
	for _, id := range p.Connections {
		where, known := at[id]
		if !known {
			return false
		}
		paths = append(paths, where.path)
	}
	i := slices.IndexFunc(ends, func(e []int) bool { return len(e) > 0 && slices.Equal(e, paths) })
	return i >= 0 && prompts[i].Outcome == p.Outcome
}

// forget takes a prompt from the counts of its asker.
func forget(askers []Asker, p *Prompt) {
	for i := range askers {
		if a := &askers[i]; a.Addr == p.AskedBy && a.SNI == p.SNI && p.Outcome.Shown() {
			a.Prompts = max(a.Prompts-1, 0)
		}
	}
}
