package attribute

// Book keeps what spans several connections: the dialogs and the count per
// asker. Its memory is bounded by Limits.
type Book struct{}

// NewBook returns an empty Book.
func NewBook() *Book { return &Book{} }

// Add takes a judged connection in the order connections ended and returns the
// prompts that it completed.
func (b *Book) Add(c *Connection) []Prompt { return nil }

// Finish returns the prompts still open and the askers, most asked first.
func (b *Book) Finish() ([]Prompt, []Asker) { return nil, nil }
