"""Agents for a process of their own."""

from agentfleet.agents import Agent

support = Agent(name="support", model="claude-sonnet-5-5", instructions="Help.")
