package report

import (
	"bytes"
	"encoding/json"
	"os"
	"slices"
	"testing"

	"github.com/santhosh-tekuri/jsonschema/v6"

	"whoasked/attribute"
	"whoasked/parse"
)

const schemaFile = "../docs/schema/whoasked.schema.json"

type schema struct{ *jsonschema.Schema }

func compileSchema(t testing.TB) schema {
	t.Helper()
	c := jsonschema.NewCompiler()
	c.AssertFormat()
	s, err := c.Compile(schemaFile)
	if err != nil {
		t.Fatal(err)
	}
	return schema{s}
}

// validate checks every line.
func (s schema) validate(t testing.TB, lines []byte) {
	t.Helper()
	for line := range bytes.Lines(lines) {
		v, err := jsonschema.UnmarshalJSON(bytes.NewReader(line))
		if err != nil {
			t.Fatalf("%v: %s", err, line)
		}
		if err := s.Validate(v); err != nil {
			t.Errorf("%v\n%s", err, line)
		}
	}
}

// TestSchemaRejects: a schema that lets anything pass validates nothing.
func TestSchemaRejects(t *testing.T) {
	s := compileSchema(t)
	const id = `{"kind":"connection","id":1,"client":"198.18.0.10:50000","server":"198.18.1.30:443","lost_bytes":0,`
	for _, line := range []string{
		`{}`,
		`{"kind":"guess"}`,
		id + `"asked":"maybe"}`,
		id + `"asked":"no","colour":"red"}`,
		id + `"asked":"no","sni":null}`,
		id + `"asked":"unknown"}`,            // without a reason
		id + `"asked":"yes","basis":"seen"}`, // without an asker
		id + `"asked":"no","basis":"inferred","time":"yesterday"}`, // not RFC 3339
		id + `"asked":"no","basis":"seen","time":"2026-11-23T12:00:00Z"}`,
		id + `"asked":"no","basis":"seen","client_random":"zz"}`,
		`{"kind":"prompt","asked_by":"198.18.1.30:443","outcome":"cancelled"}`,
		`{"kind":"note","text":"something"}`,
		`{"kind":"trace","server":"198.18.1.30:443","target":"a:443","raw_icmp":true,"hops":[],"asked":"no","connections":[],"ended_by":"unknown"}`,
		`{"kind":"trace","server":"198.18.1.30:443","target":"a:443","raw_icmp":true,"hops":[],"asked":"no","connections":[],"ended_by":"device"}`,
	} {
		v, err := jsonschema.UnmarshalJSON(bytes.NewReader([]byte(line)))
		if err != nil {
			t.Fatalf("%v: %s", err, line)
		}
		if s.Validate(v) == nil {
			t.Errorf("passes: %s", line)
		}
	}
}

// TestSchemaEnumerations: the schema lists exactly the names that the types
// print.
func TestSchemaEnumerations(t *testing.T) {
	raw, err := os.ReadFile(schemaFile)
	if err != nil {
		t.Fatal(err)
	}
	var doc struct {
		Defs map[string]struct {
			Properties map[string]struct {
				Enum []string `json:"enum"`
			} `json:"properties"`
			Enum []string `json:"enum"`
		} `json:"$defs"`
	}
	if err := json.Unmarshal(raw, &doc); err != nil {
		t.Fatal(err)
	}
	connection, trace := doc.Defs["connection"].Properties, doc.Defs["trace"].Properties
	bases := printed(attribute.Inferred, attribute.Seen)
	ofConnection := slices.DeleteFunc(slices.Clone(bases), func(b string) bool { return b == attribute.ByProbe.String() })
	for _, tt := range []struct {
		name      string
		got, want []string
	}{
		{"answer", doc.Defs["answer"].Enum, printed(attribute.Unknown, attribute.Yes)},
		{"basis", connection["basis"].Enum, ofConnection},
		{"basis of an asker", doc.Defs["asker"].Properties["basis"].Enum, bases},
		{"standing", doc.Defs["asked_itself"].Properties["standing"].Enum, printed(attribute.StandsOpen, attribute.StandsContradicts)},
		{"when", connection["when"].Enum, printed(attribute.InHandshake, attribute.AfterHandshake)},
		{"reply", connection["reply"].Enum, printed(attribute.ReplyCert, attribute.ReplyNone)},
		{"end_reason", connection["end_reason"].Enum, printed(parse.Open, parse.Evicted)},
		{"ended_by", trace["ended_by"].Enum, printed(attribute.EndUnknown, attribute.EndForwarded)},
		{"traced outcome", doc.Defs["traced"].Properties["outcome"].Enum, printed(attribute.TraceSilent, attribute.TraceFailed)},
		{"outcome", doc.Defs["prompt"].Properties["outcome"].Enum, printed(attribute.OutcomeUnknown, attribute.OutcomeNoneShown)},
	} {
		if !slices.Equal(slices.Sorted(slices.Values(tt.got)), slices.Sorted(slices.Values(tt.want))) {
			t.Errorf("%s: the schema has %q, the program %q", tt.name, tt.got, tt.want)
		}
	}
}

// printed lists the names of all values of a type up to and with last.
func printed[T interface {
	~uint8
	String() string
}](first, last T) []string {
	var out []string
	for v := first; v <= last; v++ {
		out = append(out, v.String())
	}
	return out
}

// TestSchemaHasEveryMember: what the contract documents is what is written, and
// each member is described.
func TestSchemaHasEveryMember(t *testing.T) {
	raw, err := os.ReadFile(schemaFile)
	if err != nil {
		t.Fatal(err)
	}
	var doc map[string]any
	if err := json.Unmarshal(raw, &doc); err != nil {
		t.Fatal(err)
	}
	written := make(map[string]map[string]bool)
	plays := []func(Writer) error{playPaths, playProbed, playTraces}
	for _, s := range scenes() {
		plays = append(plays, s.play)
	}
	for _, play := range plays {
		var out bytes.Buffer
		if err := play(NewJSON(&out)); err != nil {
			t.Fatal(err)
		}
		for line := range bytes.Lines(out.Bytes()) {
			var m map[string]any
			if err := json.Unmarshal(line, &m); err != nil {
				t.Fatal(err)
			}
			kind := m["kind"].(string)
			if written[kind] == nil {
				written[kind] = make(map[string]bool)
			}
			for k := range m {
				written[kind][k] = true
			}
		}
	}
	for kind, members := range written {
		properties := doc["$defs"].(map[string]any)[kind].(map[string]any)["properties"].(map[string]any)
		for name, p := range properties {
			if !members[name] {
				t.Errorf("no scene writes %s.%s", kind, name)
			}
			if m := p.(map[string]any); name != "kind" && m["description"] == nil {
				t.Errorf("%s.%s is not described", kind, name)
			}
		}
	}
	for _, kind := range []string{"connection", "prompt", "asker", "note", "path", "finding", "probe", "offer", "trace"} {
		if written[kind] == nil {
			t.Errorf("no scene writes a %s", kind)
		}
	}
}

// TestJSONIsDocumented: the page names every member, and every value of those
// that have a few.
func TestJSONIsDocumented(t *testing.T) {
	page, err := os.ReadFile("../docs/json.md")
	if err != nil {
		t.Fatal(err)
	}
	raw, err := os.ReadFile(schemaFile)
	if err != nil {
		t.Fatal(err)
	}
	var doc any
	if err := json.Unmarshal(raw, &doc); err != nil {
		t.Fatal(err)
	}
	var words []string
	var collect func(any)
	collect = func(v any) {
		m, _ := v.(map[string]any)
		for k, v := range m {
			switch k {
			case "enum":
				for _, value := range v.([]any) {
					words = append(words, value.(string))
				}
			case "properties":
				for name, p := range v.(map[string]any) {
					words = append(words, name)
					collect(p)
				}
			case "then", "else": // conditions only repeat names
			default:
				collect(v)
			}
		}
	}
	collect(doc)
	if len(words) < 50 {
		t.Fatalf("found only %d members and values in the schema", len(words))
	}
	for _, word := range words {
		if !bytes.Contains(page, []byte("`"+word+"`")) {
			t.Errorf("docs/json.md does not mention `%s`", word)
		}
	}
}
