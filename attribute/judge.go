package attribute

import "whoasked/parse"

// Judge answers for one connection from its facts.
func Judge(h *parse.Handshake) Verdict { return Verdict{Reason: "not judged yet"} }
