module whoasked

go 1.26
