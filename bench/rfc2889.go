package main

import "context"

func (p *plan) questions(ctx context.Context) error { return nil }
