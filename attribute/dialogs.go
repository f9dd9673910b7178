package attribute

import "slices"

// place is a leg on a path, by index, in front of which nobody ends TLS.
type place struct{ path, hop int }

// Dialogs tells each dialog once, and of whom. Behind a hop that passes TLS
// through a dialog is seen as one of that hop's address, and in front of the hop
// as asked for by it: where both were captured, the asker is the inner one and
// the client the outer one. Behind it those of several persons run into one another:
// they are told as they are in front. Dialogs left out are taken from the counts of
// askers.
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
	merged := j.merged(prompts, at, askers)
	var out []Prompt
	for i := range prompts {
		if merged[i] {
			forget(askers, &prompts[i])
			continue
		}
		if ends[i] == nil && j.again(&prompts[i], at, prompts, ends) {
			forget(askers, &prompts[i])
			continue
		}
		out = append(out, prompts[i])
	}
	return out
}

// merged finds dialogs that are a mixture of those in front of a hop, all of which were
// captured, and has the latter be asked for by who ends TLS.
func (j *Joined) merged(prompts []Prompt, at map[uint64]place, askers []Asker) map[int]bool {
	front := make(map[int]int) // by path, the dialog in front
	for i := range prompts {
		for _, id := range prompts[i].Connections {
			if where, known := at[id]; known && where.hop == 0 && j.endOf(&prompts[i], at) != nil {
				front[where.path] = i
			}
		}
	}
	out := make(map[int]bool)
	for i := range prompts {
		parts := make(map[int]int) // of the dialogs in front, connections in this one
		for _, id := range prompts[i].Connections {
			where, known := at[id]
			f, seen := front[where.path]
			if !known || !seen || where.hop == 0 {
				parts = nil
				break
			}
			parts[f]++
		}
		for f, n := range parts {
			if len(parts) == 1 && n == len(prompts[f].Connections) {
				continue // it is the same one, and told as the others are
			}
			end := j.endOf(&prompts[f], at)
			out[i] = true
			if prompts[f].AskedBy != end.Server {
				forget(askers, &prompts[f])
				prompts[f].AskedBy = end.Server
				recount(askers, &prompts[f], 1)
			}
		}
	}
	return out
}

// endOf is the hop that ends TLS for all connections of a dialog in front of a hop that
// passes TLS through, nil if that is not known or not one.
func (j *Joined) endOf(p *Prompt, at map[uint64]place) *PathHop {
	var end *PathHop
	for _, id := range p.Connections {
		where, known := at[id]
		if !known || where.hop > 0 || !j.Paths[where.path].Hops[0].Passes {
			return nil
		}
		hops := j.Paths[where.path].Hops
		last := 0
		for last+1 < len(hops) && hops[last].Passes {
			last++
		}
		if end != nil && end.Server != hops[last].Server {
			return nil
		}
		end = &hops[last]
	}
	return end
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
func forget(askers []Asker, p *Prompt) { recount(askers, p, -1) }

// recount counts a prompt n times more.
func recount(askers []Asker, p *Prompt, n int) {
	for i := range askers {
		if a := &askers[i]; a.Addr == p.AskedBy && a.SNI == p.SNI && p.Outcome.Shown() {
			a.Prompts = max(a.Prompts+n, 0)
		}
	}
}
