package report

// The lines of JSON, as docs/json.md describes them. What is not known is left
// out: omitempty drops empty text, omitzero keeps an empty list, which says that
// there is nothing to list.

type connectionLine struct {
	Kind      string         `json:"kind"`
	ID        uint64         `json:"id"`
	Time      string         `json:"time,omitempty"`
	End       string         `json:"end,omitempty"`
	EndReason string         `json:"end_reason"`
	Capture   string         `json:"capture,omitempty"`
	Via       string         `json:"via,omitempty"`
	SameAs    uint64         `json:"same_as,omitempty"`
	Transport string         `json:"transport"`
	Client    string         `json:"client"`
	Server    string         `json:"server"`
	Context   string         `json:"context,omitempty"`
	Preamble  string         `json:"preamble,omitempty"`
	Proxied   *proxiedMember `json:"proxied_for,omitempty"`
	Target    string         `json:"target,omitempty"`
	Tunnel    string         `json:"tunnel,omitempty"`
	Inside    uint64         `json:"inside,omitempty"`
	Midstream bool           `json:"midstream,omitempty"`
	TCP       *tcpMember     `json:"tcp,omitempty"`

	SNI     string `json:"sni,omitempty"`
	ECH     bool   `json:"ech,omitempty"`
	ALPN    string `json:"alpn,omitempty"`
	Version string `json:"version,omitempty"`
	Cipher  string `json:"cipher,omitempty"`

	QUICVersion string `json:"quic_version,omitempty"`

	Resumed *bool `json:"resumed,omitempty"`

	Asked     string   `json:"asked"`
	AskedBy   string   `json:"asked_by,omitempty"`
	Hop       string   `json:"hop,omitempty"`
	Basis     string   `json:"basis,omitempty"`
	When      string   `json:"when,omitempty"`
	Evidence  []string `json:"evidence,omitempty"`
	Reason    string   `json:"reason,omitempty"`
	Reply     string   `json:"reply,omitempty"`
	Unused    bool     `json:"unused,omitempty"`
	Required  string   `json:"required,omitempty"`
	AskedAt   string   `json:"asked_at,omitempty"`
	ReactedAt string   `json:"reacted_at,omitempty"`

	requestMembers

	ServerCertificate *certificateMember `json:"server_certificate,omitempty"`
	ClientCertificate *certificateMember `json:"client_certificate,omitempty"`

	ClientRandom string `json:"client_random,omitempty"`
	JA3          string `json:"ja3,omitempty"`
	JA3S         string `json:"ja3s,omitempty"`
	JA4          string `json:"ja4,omitempty"`
	CommunityID  string `json:"community_id,omitempty"`

	Alerts        []alertMember `json:"alerts,omitempty"`
	LostBytes     int64         `json:"lost_bytes"`
	ConflictBytes int64         `json:"conflict_bytes,omitempty"`
	Malformed     []string      `json:"malformed,omitempty"`
}

type proxiedMember struct {
	Client string `json:"client"`
	Server string `json:"server"`
}

type certificateMember struct {
	SHA256   string   `json:"sha256"`
	Subject  string   `json:"subject,omitempty"`
	Issuer   string   `json:"issuer,omitempty"`
	Names    []string `json:"names,omitempty"`
	NotAfter string   `json:"not_after,omitempty"`
}

type alertMember struct {
	Time  string `json:"time,omitempty"`
	From  string `json:"from"`
	Level string `json:"level"`
	Code  uint8  `json:"code"`
	Name  string `json:"name"`
}

type promptLine struct {
	Kind        string        `json:"kind"`
	AskedBy     string        `json:"asked_by"`
	SNI         string        `json:"sni,omitempty"`
	Client      string        `json:"client"`
	Opened      string        `json:"opened,omitempty"`
	Closed      string        `json:"closed,omitempty"`
	Seconds     float64       `json:"seconds,omitempty"`
	When        string        `json:"when"`
	Outcome     string        `json:"outcome"`
	Page        string        `json:"page,omitempty"`
	Nth         int           `json:"nth,omitempty"`
	Before      []shownMember `json:"before,omitempty"`
	Connections []uint64      `json:"connections"`
	Evidence    string        `json:"evidence,omitempty"`
}

type shownMember struct {
	Opened string `json:"opened"`
	SNI    string `json:"sni,omitempty"`
}

type askerLine struct {
	Kind     string         `json:"kind"`
	AskedBy  string         `json:"asked_by"`
	Name     string         `json:"name,omitempty"`
	SNI      string         `json:"sni,omitempty"`
	Unread   int            `json:"sni_unread,omitempty"`
	Full     int            `json:"full"`
	Asked    int            `json:"asked"`
	NotAsked int            `json:"not_asked"`
	Resumed  int            `json:"resumed"`
	Unknown  int            `json:"unknown"`
	Reasons  []reasonMember `json:"reasons,omitempty"`
	Prompts  int            `json:"prompts"`
	Passes   int            `json:"passes_through,omitempty"`
	PassesTo string         `json:"passes_to,omitempty"`
	Place    string         `json:"place,omitempty"`
	Located  string         `json:"place_because,omitempty"`
	First    string         `json:"first,omitempty"`
	Last     string         `json:"last,omitempty"`
	Declared string         `json:"declared,omitempty"`
	Of       string         `json:"declared_of,omitempty"`
	Agrees   *bool          `json:"agrees,omitempty"`
	Compared string         `json:"agreement,omitempty"`
	Signs    []signMember   `json:"signs,omitempty"`
	Basis    string         `json:"basis,omitempty"`
	Probe    *askedMember   `json:"probe,omitempty"`
	Causes   []causeMember  `json:"causes,omitempty"`
}

type causeMember struct {
	ID       string   `json:"id"`
	Title    string   `json:"title"`
	Why      string   `json:"why"`
	Strength string   `json:"strength"`
	If       string   `json:"if,omitempty"`
	Fix      []string `json:"fix"`
	Verify   string   `json:"verify"`
}

// reasonMember is why answers are unknown, and how many.
type reasonMember struct {
	Reason string `json:"reason"`
	Count  int    `json:"count"`
}

type noteLine struct {
	Kind  string `json:"kind"`
	Note  string `json:"note"`
	Count int64  `json:"count"`
	Text  string `json:"text"`
	Hint  string `json:"hint,omitempty"`
}
