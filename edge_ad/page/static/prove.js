// The habits of a shift: the report of a shift, to be printed or taken along.

export function startProve() {}

export function showProve() {}
